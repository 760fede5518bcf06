package extension

import (
	"fmt"
	"slices"
)

// foreign are the vendor's data sources that do not run here: why, and what does
// instead.
var foreign = []foreignSource{
	{"python", "its code needs the vendor's Python engine", "what it reads as JSON over HTTP can be read by a package with the data source http"},
	{"wmi", "it needs Windows", "a Windows machine that answers SNMP can be read by a package with the data source snmp"},
	{"jmx", "it needs a Java agent in the monitored process", "the same beans behind the Prometheus JMX exporter can be read by a package with the data source prometheus"},
	{"statsd", "it belongs to the vendor's host agent", "a Prometheus exporter for StatsD can be read by a package with the data source prometheus"},
	{"sqlOracle", database, databaseInstead},
	{"sqlServer", database, databaseInstead},
	{"sqlMySql", database, databaseInstead},
	{"sqlPostgres", database, databaseInstead},
	{"sqlDb2", database, databaseInstead},
	{"sqlHana", database, databaseInstead},
	{"sqlSnowflake", database, databaseInstead},
	{"sqlJdbc", database, databaseInstead},
	{"jdbc", database, databaseInstead},
}

type foreignSource struct{ name, reason, instead string }

const (
	database        = "it needs database drivers"
	databaseInstead = "a Prometheus exporter of the database can be read by a package with the data source prometheus"
)

// notHere lists all names of foreign.
func notHere() []string {
	names := make([]string, len(foreign))
	for i, f := range foreign {
		names[i] = f.name
	}
	return names
}

// foreignSources lists the data sources that are known and do not run here.
func foreignSources() []string {
	runs := sourceNames()
	return slices.DeleteFunc(notHere(), func(name string) bool { return slices.Contains(runs, name) })
}

// foreignAt finds a data source that does not run here.
func foreignAt(name string) (foreignSource, bool) {
	at := slices.IndexFunc(foreign, func(f foreignSource) bool { return f.name == name })
	if at < 0 || slices.Contains(sourceNames(), name) {
		return foreignSource{}, false
	}
	return foreign[at], true
}

// UnsupportedError says that a package is sound but collects with something
// that this agent does not have.
type UnsupportedError struct {
	File       string
	DataSource string
	Reason     string
	Instead    string // what runs instead, a sentence; "" where nothing does
}

// Error names the data source, why it cannot run and what runs instead.
func (e *UnsupportedError) Error() string {
	text := fmt.Sprintf("%s: this data source cannot run here: %s (%s); only %s packages run here",
		e.File, e.DataSource, e.Reason, inWords(sourceNames(), "and"))
	if e.Instead != "" {
		text += "; " + e.Instead
	}
	return text
}

// checkSource refuses a package of which no part runs here.
func checkSource(root *node, file string) error {
	if root.kind != kindMap {
		return fmt.Errorf("%s:%d:%d: found %s, expected an object with name, version and a data source such as snmp", file, root.line, root.col, root.what())
	}
	if len(nodesOf(root)) > 0 {
		return nil
	}
	for _, f := range foreign {
		if root.field(f.name) != nil {
			return &UnsupportedError{File: file, DataSource: f.name, Reason: f.reason, Instead: f.instead}
		}
	}
	return fmt.Errorf("%s: the package has no data source, expected one of the keys %s", file, inWords(sourceNames(), "or"))
}

// unsupported lists the data sources of a package that do not run here, with a
// warning for each: the others run.
func (p *manifestParser) unsupported(root *node) []string {
	var names []string
	for _, f := range root.mapping() {
		if other, is := foreignAt(f.key); is && f.value.kind != kindNull {
			names = append(names, f.key)
			text := "the data source " + f.key + " does not run here (" + other.reason + "), its part is left out"
			if other.instead != "" {
				text += "; " + other.instead
			}
			p.remark(ruleDataSource, &node{line: f.line, col: f.col}, f.key, text)
		}
	}
	return names
}

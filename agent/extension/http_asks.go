package extension

import "strings"

const httpNode = "http"

// httpAsks lists the requests, and the hosts and device files in all texts.
func httpAsks(a *asks, root *node) {
	for _, group := range root.field(httpNode).list() {
		at := group.field("request")
		method, path := methodOf(at), at.field("path").plain()
		if at == nil {
			at = group
		}
		what := method + " " + path
		if path == "" {
			what = method + " the URL of the configuration"
		}
		a.requests = append(a.requests, asked(what, at))
	}
	a.places(root.field(httpNode))
}

func methodOf(request *node) string {
	if word := strings.ToUpper(request.field("method").plain()); word != "" {
		return word
	}
	return "GET"
}

// posts looks for requests of which nobody can say that they only read.
func (l *linter) posts(node *node) {
	for _, group := range node.list() {
		request := group.field("request")
		if method := methodOf(request); method != "GET" {
			l.report.ReadOnly = false
			l.warn(request.field("method"), ruleReadOnly, "asks with "+method+", which an application may take as an order to change something",
				"make sure that it only reads, and use GET where the application has it")
		}
	}
}

package main

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// TestGenerate makes what the packages hold beside the program: man pages, with
// one page for each command and its sub-commands, completions, and the schema of the
// configuration. It writes them to the folder EDGEHOLD_GENERATE, where that is set.
// It is a test so that the program itself carries nothing of it.
func TestGenerate(t *testing.T) {
	root := newRoot()
	root.InitDefaultCompletionCmd()
	pages, err := manPages(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"edgehold.1", "edgehold-run.1", "edgehold-ext.1", "edgehold.7", "edgehold.yaml.5"} {
		if pages[name] == "" {
			t.Errorf("no page %s", name)
		}
	}
	for name, text := range pages {
		checkPage(t, name, text)
	}
	files := map[string]string{}
	for name, text := range pages {
		files[filepath.Join("man", name)] = text
	}
	for name, text := range completions(t, root) {
		files[filepath.Join("completion", name)] = text
	}
	var schema, complaints bytes.Buffer
	if code := execute([]string{"check", "--schema"}, &schema, &complaints); code != exitOK {
		t.Fatalf("check --schema: exit code %d: %s", code, complaints.String())
	}
	files["edgehold.schema.json"] = schema.String()
	folder := os.Getenv("EDGEHOLD_GENERATE")
	if folder == "" {
		return
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// checkPage finds what groff would take for a request that it does not know, and
// commands that say nothing about themselves.
func checkPage(t *testing.T, name, text string) {
	t.Helper()
	known := map[string]bool{}
	for _, request := range strings.Fields(`TH SH SS PP TP B I BR IR RB br nf fi in`) {
		known[request] = true
	}
	for i, line := range strings.Split(text, "\n") {
		if !strings.HasPrefix(line, ".") && !strings.HasPrefix(line, "'") {
			continue
		}
		if request, _, _ := strings.Cut(line[1:], " "); !known[request] {
			t.Errorf("%s:%d: request %q is not one of a man page", name, i+1, line)
		}
	}
	for _, place := range []string{"@DATE@", "@VERSION@", "@REFERENCE@"} {
		if strings.Contains(text, place) {
			t.Errorf("%s: %s was not filled in", name, place)
		}
	}
}

// manPages renders all pages, by file name.
func manPages(root *cobra.Command) (map[string]string, error) {
	head := strings.NewReplacer("@DATE@", manDate(), "@VERSION@", manVersion())
	pages := map[string]string{"edgehold.1": head.Replace(rootPage(root))}
	for _, c := range visible(root) {
		pages[pageName(c)+".1"] = head.Replace(commandPage(c))
	}
	reference, err := os.ReadFile("../../agent/config/reference.yaml")
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"edgehold.7", "edgehold.yaml.5"} {
		text, err := os.ReadFile("../../packaging/man/" + name)
		if err != nil {
			return nil, err
		}
		page := strings.ReplaceAll(string(text), "@REFERENCE@", strings.TrimRight(roff(string(reference)), "\n"))
		pages[name] = head.Replace(page)
	}
	return pages, nil
}

func completions(t *testing.T, root *cobra.Command) map[string]string {
	t.Helper()
	var bash, zsh, fish bytes.Buffer
	for _, err := range []error{
		root.GenBashCompletionV2(&bash, true),
		root.GenZshCompletion(&zsh),
		root.GenFishCompletion(&fish, true),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return map[string]string{"edgehold": bash.String(), "_edgehold": zsh.String(), "edgehold.fish": fish.String()}
}

// manDate is the day of the build, so that one commit gives one text.
func manDate() string {
	seconds, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64)
	if err != nil {
		return buildTime().UTC().Format(time.DateOnly)
	}
	return time.Unix(seconds, 0).UTC().Format(time.DateOnly)
}

func manVersion() string { return cmp.Or(os.Getenv("VERSION"), version) }

const manHead = ".TH %s 1 \"@DATE@\" \"edgehold @VERSION@\" \"Edgehold\"\n.SH NAME\n%s \\- %s\n"

func rootPage(root *cobra.Command) string {
	var b strings.Builder
	fmt.Fprintf(&b, manHead, "EDGEHOLD", "edgehold", roff(lowerFirst(root.Short)))
	fmt.Fprintf(&b, ".SH SYNOPSIS\n.B edgehold\n.I command\n[options]\n.SH DESCRIPTION\n")
	preformatted(&b, root.Long)
	b.WriteString(".SH COMMANDS\n")
	for _, c := range visible(root) {
		fmt.Fprintf(&b, ".TP\n.BR %s (1)\n%s\n", roff(pageName(c)), roff(c.Short))
	}
	b.WriteString(".SH EXIT STATUS\n")
	for _, row := range []string{
		"0|done", "1|an error", "2|a mistake in the command line",
		"3|a check failed, or an alarm stands", "78|a mistake in the configuration",
	} {
		code, meaning, _ := strings.Cut(row, "|")
		fmt.Fprintf(&b, ".TP\n.B %s\n%s\n", code, meaning)
	}
	b.WriteString(".SH SEE ALSO\n.BR edgehold.yaml (5),\n.BR edgehold (7)\n")
	return b.String()
}

func commandPage(c *cobra.Command) string {
	var b strings.Builder
	name := pageName(c)
	fmt.Fprintf(&b, manHead, roff(strings.ToUpper(name)), roff(name), roff(lowerFirst(c.Short)))
	b.WriteString(".SH SYNOPSIS\n")
	for i, each := range family(c) {
		if i > 0 {
			b.WriteString(".br\n")
		}
		fmt.Fprintf(&b, ".B %s\n", roff(each.UseLine()))
	}
	b.WriteString(".SH DESCRIPTION\n")
	preformatted(&b, description(c))
	options(&b, c, ".SH OPTIONS\n")
	if c.HasExample() {
		b.WriteString(".SH EXAMPLES\n")
		preformatted(&b, c.Example)
	}
	if rest := family(c); c.HasAvailableSubCommands() {
		b.WriteString(".SH COMMANDS\n")
		for _, each := range rest {
			if each != c {
				subCommand(&b, each)
			}
		}
	}
	b.WriteString(".SH SEE ALSO\n.BR edgehold (1),\n.BR edgehold.yaml (5),\n.BR edgehold (7)\n")
	return b.String()
}

func subCommand(b *strings.Builder, c *cobra.Command) {
	fmt.Fprintf(b, ".SS %s\n", roff(c.CommandPath()))
	preformatted(b, description(c))
	options(b, c, ".PP\nOptions:\n")
	if c.HasExample() {
		b.WriteString(".PP\nExamples:\n")
		preformatted(b, c.Example)
	}
}

// options lists the flags of a command under a heading, where it has any.
func options(b *strings.Builder, c *cobra.Command, heading string) {
	c.InheritedFlags() // joins those of the parents
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		b.WriteString(heading)
		heading = ""
		name := "--" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		value, text := pflag.UnquoteUsage(f)
		fmt.Fprintf(b, ".TP\n.B %s\n", roff(strings.TrimSpace(name+" "+value)))
		if d := f.DefValue; d != "" && d != "false" && d != "[]" && d != "0" && d != "0s" {
			text += " (default " + d + ")"
		}
		fmt.Fprintf(b, "%s\n", roff(text))
	})
}

// preformatted keeps lines as they are: help texts are broken by hand and hold
// examples.
func preformatted(b *strings.Builder, text string) {
	fmt.Fprintf(b, ".nf\n%s\n.fi\n", roff(strings.Trim(text, "\n")))
}

func description(c *cobra.Command) string { return cmp.Or(c.Long, c.Short) }

func pageName(c *cobra.Command) string { return "edgehold-" + c.Name() }

// visible are the sub-commands that a person may use.
func visible(c *cobra.Command) []*cobra.Command {
	var out []*cobra.Command
	for _, each := range c.Commands() {
		if each.IsAvailableCommand() {
			out = append(out, each)
		}
	}
	return out
}

// family is a command with all that are below it, the deeper ones behind their
// parents.
func family(c *cobra.Command) []*cobra.Command {
	out := []*cobra.Command{c}
	for _, each := range visible(c) {
		out = append(out, family(each)...)
	}
	return out
}

func lowerFirst(s string) string { return strings.ToLower(s[:1]) + s[1:] }

// roff makes a text safe within a man page: its backslashes, its hyphens, which
// would not be found again when copied, and lines that begin like a request.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text)
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
			lines[i] = `\&` + line
		}
	}
	return strings.Join(lines, "\n")
}

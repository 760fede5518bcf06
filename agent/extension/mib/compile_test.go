package mib

import (
	"encoding/binary"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"unicode/utf16"
)

// folder makes a folder of files: name, text, name, text ...
func folder(files ...string) fstest.MapFS {
	f := fstest.MapFS{}
	for i := 0; i < len(files); i += 2 {
		f[files[i]] = &fstest.MapFile{Data: []byte(files[i+1])}
	}
	return f
}

// brief is an object in one line, without its module.
func brief(o Object) string {
	parts := []string{o.Name, o.OID, o.Kind.String()}
	if o.Type != None {
		parts = append(parts, o.Type.String())
	}
	if o.Hint != "" {
		parts = append(parts, fmt.Sprintf("%q", o.Hint))
	}
	for _, n := range sortedKeys(o.Enum) {
		parts = append(parts, fmt.Sprintf("%s=%d", o.Enum[n], n))
	}
	for i, name := range slices.Concat(o.Indexes, o.Objects) {
		if o.Implied && i == len(o.Indexes)-1 {
			name = "IMPLIED " + name
		}
		parts = append(parts, "["+name+"]")
	}
	return strings.Join(parts, " ")
}

const acme = "1.3.6.1.4.1.99999"

// compileText compiles one module, given without its head and foot.
func compileText(t *testing.T, body string) (*Set, []Warning) {
	t.Helper()
	return Compile(folder("acme.mib", "ACME-MIB DEFINITIONS ::= BEGIN\nacme OBJECT IDENTIFIER ::= { enterprises 99999 }\n"+body+"\nEND\n"))
}

func TestForms(t *testing.T) {
	tests := map[string]struct{ body, want string }{ // of the object x, with acme's OID left out
		"scalar":            {`x OBJECT-TYPE SYNTAX Integer32 (0..100) MAX-ACCESS read-only STATUS current DESCRIPTION "" ::= { acme 1 }`, `x .1 scalar integer`},
		"several ranges":    {`x OBJECT-TYPE SYNTAX INTEGER (0..1 | 5 | '0A'H..'FF'h) ::= { acme 1 }`, `x .1 scalar integer`},
		"sizes":             {`x OBJECT-TYPE SYNTAX OCTET STRING (SIZE (0 | 4..20)) ::= { acme 1 }`, `x .1 scalar octets`},
		"empty size":        {`x OBJECT-TYPE SYNTAX OCTET STRING (SIZE()) ::= { acme 1 }`, `x .1 scalar octets`},
		"enumeration":       {`x OBJECT-TYPE SYNTAX INTEGER { up(1), down(2) } ::= { acme 1 }`, `x .1 scalar integer up=1 down=2`},
		"odd enumeration":   {`x OBJECT-TYPE SYNTAX INTEGER { under_score(-1) Upper ( 0 ), 10Mbit(1),, two words(2), last('0a'H), } ::= { acme 1 }`, `x .1 scalar integer under_score=-1 Upper=0 10Mbit=1 two words=2 last=10`},
		"open enumeration":  {`x OBJECT-TYPE SYNTAX INTEGER { up(1), down(2) ACCESS read-only STATUS mandatory ::= { acme 1 }`, `x .1 scalar integer up=1 down=2`},
		"keyword as a name": {`x OBJECT-TYPE SYNTAX INTEGER { STATUS(1), INDEX(2) } ::= { acme 1 }`, `x .1 scalar integer STATUS=1 INDEX=2`},
		"same number twice": {`x OBJECT-TYPE SYNTAX INTEGER { a(1), b(1) } ::= { acme 1 }`, `x .1 scalar integer a=1`},
		"bits":              {`x OBJECT-TYPE SYNTAX BITS { a(0), h(7), i(8) } ::= { acme 1 }`, `x .1 scalar bits a=0 h=7 i=8`},
		"counter64":         {`x OBJECT-TYPE SYNTAX Counter64 ::= { acme 1 }`, `x .1 scalar counter`},
		"network address":   {`x OBJECT-TYPE SYNTAX NetworkAddress ::= { acme 1 }`, `x .1 scalar ip`},
		"choice":            {`x OBJECT-TYPE SYNTAX CHOICE { a INTEGER, b IpAddress } ::= { acme 1 }`, `x .1 scalar`},
		"module.type":       {`x OBJECT-TYPE SYNTAX SNMPv2-TC.TruthValue ::= { acme 1 }`, `x .1 scalar integer true=1 false=2`},
		"standard type":     {`x OBJECT-TYPE SYNTAX MacAddress ::= { acme 1 }`, `x .1 scalar octets "1x:"`},
		"refined type":      {`x OBJECT-TYPE SYNTAX TruthValue { true(1) } ::= { acme 1 }`, `x .1 scalar integer true=1`},
		"chained types": {
			`x OBJECT-TYPE SYNTAX C ::= { acme 1 } A ::= TEXTUAL-CONVENTION DISPLAY-HINT "d-1" STATUS current SYNTAX INTEGER B ::= A (0..9)
			C ::= TEXTUAL-CONVENTION STATUS current DESCRIPTION "" SYNTAX B`, `x .1 scalar integer "d-1"`,
		},
		"overridden hint":      {`A ::= TEXTUAL-CONVENTION DISPLAY-HINT "1x-" SYNTAX MacAddress x OBJECT-TYPE SYNTAX A ::= { acme 1 }`, `x .1 scalar octets "1x-"`},
		"plain type of old":    {`DisplayString ::= OCTET STRING (SIZE (0..255)) x OBJECT-TYPE SYNTAX DisplayString ::= { acme 1 }`, `x .1 scalar octets "255a"`},
		"tagged type":          {`Acme ::= [APPLICATION 1] IMPLICIT INTEGER (0..9) x OBJECT-TYPE SYNTAX Acme ::= { acme 1 }`, `x .1 scalar integer`},
		"type by itself":       {`A ::= B B ::= A x OBJECT-TYPE SYNTAX A ::= { acme 1 }`, `x .1 scalar`},
		"type not known":       {`x OBJECT-TYPE SYNTAX Riddle ::= { acme 1 }`, `x .1 scalar`},
		"no syntax":            {`x OBJECT-TYPE ACCESS read-only ::= { acme 1 }`, `x .1 scalar`},
		"units and defaults":   {`x OBJECT-TYPE SYNTAX INTEGER UNITS "0.1 C" DEFVAL { '00'B } ::= { acme 1 }`, `x .1 scalar integer`},
		"nested default":       {`x OBJECT-TYPE SYNTAX BITS { a(0), b(1) } DEFVAL { { a, b } } ::= { acme 1 }`, `x .1 scalar bits a=0 b=1`},
		"bare default":         {`x OBJECT-TYPE SYNTAX INTEGER DEFVAL 5 ::= { acme 1 }`, `x .1 scalar integer`},
		"path":                 {`x OBJECT IDENTIFIER ::= { iso org(3) dod(6) internet(1) private(4) enterprises(1) 99999 1 }`, `x .1 other`},
		"path of names":        {`x OBJECT IDENTIFIER ::= { iso org dod internet private enterprises acme 1 }`, `x .1 other`},
		"numbered root":        {`x OBJECT IDENTIFIER ::= { iso(1) 3 6 1 4 1 99999 1 }`, `x .1 other`},
		"numbers only":         {`x OBJECT IDENTIFIER ::= { 1 3 6 1 4 1 99999 1 }`, `x .1 other`},
		"dotted":               {`x OBJECT IDENTIFIER ::= { 1.3.6.1.4.1.99999.1 }`, `x .1 other`},
		"named on the way":     {`y OBJECT IDENTIFIER ::= { acme x(1) 2 }`, `x .1 other`},
		"way and definition":   {`y OBJECT IDENTIFIER ::= { acme x(1) 2 } x OBJECT IDENTIFIER ::= { acme 5 }`, `x .5 other`},
		"no braces":            {`x OBJECT IDENTIFIER ::= acme 1`, `x .1 other`},
		"before its parent":    {`x OBJECT IDENTIFIER ::= { later 1 } later OBJECT IDENTIFIER ::= { acme 7 }`, `x .7.1 other`},
		"upper-case name":      {`X OBJECT IDENTIFIER ::= { acme 2 } x OBJECT IDENTIFIER ::= { X 1 }`, `x .2.1 other`},
		"underscores":          {`my_node OBJECT IDENTIFIER ::= { acme 2 } x OBJECT IDENTIFIER ::= { my_node 1 }`, `x .2.1 other`},
		"defined twice":        {`x OBJECT IDENTIFIER ::= { acme 1 } x OBJECT IDENTIFIER ::= { acme 2 }`, `x .1 other`},
		"identity":             {`x OBJECT-IDENTITY STATUS current DESCRIPTION "a" ::= { acme 1 }`, `x .1 other`},
		"notification":         {`x NOTIFICATION-TYPE OBJECTS { ifIndex, acme } STATUS current DESCRIPTION "" ::= { acme 0 1 }`, `x .0.1 notification [ifIndex] [acme]`},
		"trap":                 {`x TRAP-TYPE ENTERPRISE acme VARIABLES { ifIndex } DESCRIPTION "" ::= 7`, `x .0.7 notification [ifIndex]`},
		"trap in braces":       {`x TRAP-TYPE ENTERPRISE { acme } DESCRIPTION "" ::= 0`, `x .0.0 notification`},
		"hidden by a comment":  {"x OBJECT-TYPE -- SYNTAX Gauge\n SYNTAX INTEGER -- (0..1) ::= { acme 9 }\n ::= { acme 1 }", `x .1 scalar integer`},
		"comment in a line":    {"x OBJECT-TYPE SYNTAX INTEGER { a(1), -- one -- b(2) -- two\n } ::= { acme 1 }", `x .1 scalar integer a=1 b=2`},
		"dashes in a comment":  {"x OBJECT-TYPE -- one -- two -- three\n SYNTAX INTEGER ::= { acme 1 }", `x .1 scalar integer`},
		"line of dashes":       {"-------- x -------- y -----\nx OBJECT-TYPE SYNTAX INTEGER --- is it\n::= { acme 1 } -----", `x .1 scalar integer`},
		"comment then clause":  {"x OBJECT-TYPE -- all -- SYNTAX Gauge ::= { acme 1 }", `x .1 scalar gauge`},
		"dash of Word":         {"x OBJECT-TYPE SYNTAX INTEGER \u2013 it isn't\n::= { acme 1 }", `x .1 scalar integer`},
		"C comment":            {"/* x OBJECT IDENTIFIER ::= { acme 9 } */ x OBJECT IDENTIFIER ::= { acme 1 }", `x .1 other`},
		"quotes of Word":       {"x OBJECT-TYPE SYNTAX INTEGER DESCRIPTION \u201csays \"::= { acme 5 }\u201d ::= { acme 1 }", `x .1 scalar integer`},
		"quotes in quotes":     {`x OBJECT-TYPE SYNTAX INTEGER DESCRIPTION "the "good" one" ::= { acme 1 }`, `x .1 scalar integer`},
		"doubled quotes":       {`x OBJECT-TYPE SYNTAX INTEGER DESCRIPTION "the ""::= { acme 2 }"" one" ::= { acme 1 }`, `x .1 scalar integer`},
		"empty quotes":         {`x OBJECT-TYPE SYNTAX INTEGER DESCRIPTION "" REFERENCE "" ::= { acme 1 }`, `x .1 scalar integer`},
		"no closing quote":     {"x OBJECT-TYPE SYNTAX INTEGER DESCRIPTION \"it goes on\n ::= { acme 1 }\ny OBJECT-TYPE SYNTAX INTEGER ::= { acme 2 }", `x .1 scalar integer`},
		"after no assignment":  {"y OBJECT-TYPE SYNTAX INTEGER ACCESS read-only\nx OBJECT-TYPE SYNTAX INTEGER ::= { acme 1 }", `x .1 scalar integer`},
		"after rubbish":        {"! ? 7 <nonsense> }\nx OBJECT-TYPE SYNTAX INTEGER ::= { acme 1 }", `x .1 scalar integer`},
		"after a compliance":   {"y MODULE-COMPLIANCE STATUS current MODULE MANDATORY-GROUPS { g } OBJECT x SYNTAX INTEGER { a(1) } MIN-ACCESS read-only ::= { acme 3 }\nx OBJECT-TYPE SYNTAX Gauge ::= { acme 1 }", `x .1 scalar gauge`},
		"after a macro":        {`OBJECT-TYPE MACRO ::= BEGIN TYPE NOTATION ::= "SYNTAX" type(S) VALUE NOTATION ::= value(VALUE ObjectName) END x OBJECT-TYPE SYNTAX Gauge ::= { acme 1 }`, `x .1 scalar gauge`},
		"open brace of parent": {"y OBJECT IDENTIFIER ::= { acme 5\nx OBJECT IDENTIFIER ::= { acme 1 }", `x .1 other`},
		"column":               {`t OBJECT-TYPE SYNTAX SEQUENCE OF E ::= { acme 1 } e OBJECT-TYPE SYNTAX E INDEX { x, IMPLIED y } ::= { t 1 } E ::= SEQUENCE { x INTEGER } x OBJECT-TYPE SYNTAX INTEGER ::= { e 1 }`, `x .1.1.1 column integer [x] [IMPLIED y]`},
		"row without index":    {`t OBJECT-TYPE SYNTAX SEQUENCE OF E ::= { acme 1 } x OBJECT-TYPE SYNTAX E ::= { t 1 }`, `x .1.1 entry`},
		"row of types":         {`x OBJECT-TYPE SYNTAX E INDEX { INTEGER, OCTET STRING } ::= { acme 1 }`, `x .1 entry [INTEGER] [OCTET]`},
		"table":                {`x OBJECT-TYPE SYNTAX SEQUENCE OF E ::= { acme 1 } e OBJECT-TYPE SYNTAX E INDEX { ifIndex } ::= { x 1 }`, `x .1 table [ifIndex]`},
		"augmented":            {`e OBJECT-TYPE SYNTAX E INDEX { ifIndex } ::= { acme 1 } x OBJECT-TYPE SYNTAX F AUGMENTS { e } ::= { acme 2 }`, `x .2 entry [ifIndex]`},
		"augments a standard":  {`x OBJECT-TYPE SYNTAX F AUGMENTS { ifEntry } ::= { acme 2 }`, `x .2 entry [ifIndex]`},
		"augments itself":      {`x OBJECT-TYPE SYNTAX F AUGMENTS { x } ::= { acme 2 }`, `x .2 entry`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			set, warnings := compileText(t, tt.body)
			o, _, ok := set.Find("x")
			want := strings.Replace(tt.want, " .", " "+acme+".", 1)
			if got := brief(o); !ok || got != want {
				t.Errorf("got  %s\nwant %s\n%v", got, want, warnings)
			}
		})
	}
}

// Of these nothing is left, but a word with file and line.
func TestLeftOut(t *testing.T) {
	tests := map[string]struct{ body, warning string }{
		"parent not known":  {"x OBJECT IDENTIFIER ::= { nowhere 1 }", "acme.mib:3: nowhere is not known (for x): add the MIB file"},
		"odd path":          {"x OBJECT IDENTIFIER ::= { enterprises ifIndex 1 }", "acme.mib:3: x: ifIndex is not beneath"},
		"by itself":         {"x OBJECT IDENTIFIER ::= { y 1 } y OBJECT IDENTIFIER ::= { x 1 }", "acme.mib:3: x is defined by itself"},
		"arc too large":     {"x OBJECT IDENTIFIER ::= { acme 4294967296 }", "acme.mib:3: x has the arc 4294967296"},
		"negative arc":      {"x OBJECT IDENTIFIER ::= { acme -1 }", "acme.mib:3: x has the arc -1"},
		"trap of nobody":    {"x TRAP-TYPE DESCRIPTION \"\" ::= 3", "acme.mib:3: x has no value"},
		"no value":          {"x OBJECT-TYPE SYNTAX INTEGER", "acme.mib:3: x has no value"},
		"text":              {"\n\nx is not understood", `acme.mib:5: "x" is not understood`},
		"type without body": {"X ::= TEXTUAL-CONVENTION STATUS current", "acme.mib:3: type X has no SYNTAX"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			set, warnings := compileText(t, tt.body)
			if o, _, ok := set.Find("x"); ok {
				t.Errorf("found %s", brief(o))
			}
			if len(warnings) == 0 || !strings.HasPrefix(warnings[0].String(), tt.warning) {
				t.Errorf("warnings %v, want %q", warnings, tt.warning)
			}
		})
	}
}

// TestOneWarning: what is read a second time is warned of once.
func TestOneWarning(t *testing.T) {
	_, warnings := compileText(t, "x OBJECT-TYPE SYNTAX INTEGER DESCRIPTION \"it goes on\n ::= { acme 1 }\n")
	if len(warnings) != 1 || warnings[0].String() != "acme.mib:3: the file lacks a closing quote; what is between may be lost" {
		t.Error(warnings)
	}
}

// TestKnownWay: a way through what is known already adds nothing.
func TestKnownWay(t *testing.T) {
	set, _ := compileText(t, "x OBJECT IDENTIFIER ::= { iso org(3) dod(6) internet(1) private(4) enterprises(1) acme(99999) fresh(4) 1 }")
	if _, _, ok := set.Find("fresh"); !ok || set.Len() != 3 {
		t.Errorf("%d objects: %v", set.Len(), set.tables[0].entries)
	}
}

// TestBestFirst: where several modules have a place, the one of today answers.
func TestBestFirst(t *testing.T) {
	set, warnings := Compile(folder(
		"1", "RFC1-MIB DEFINITIONS ::= BEGIN old OBJECT-TYPE SYNTAX Counter ::= { enterprises 1 } same OBJECT-TYPE SYNTAX Counter ::= { enterprises 2 } END",
		"2", "Z-MIB DEFINITIONS ::= BEGIN new OBJECT-TYPE SYNTAX Gauge ::= { enterprises 1 } same OBJECT-TYPE SYNTAX Gauge ::= { enterprises 3 } END",
		"3", "A-MIB DEFINITIONS ::= BEGIN branch OBJECT IDENTIFIER ::= { enterprises 1 } same OBJECT IDENTIFIER ::= { enterprises 4 } END",
	))
	if o, _, _ := set.At("1.3.6.1.4.1.1"); o.Name != "new" || len(warnings) > 0 {
		t.Errorf("%+v, %v", o, warnings)
	}
	if o, _, _ := set.Find("same"); o.Module != "Z-MIB" {
		t.Errorf("%+v", o)
	}
	if o, _, _ := set.Find("RFC1-MIB::same"); o.OID != "1.3.6.1.4.1.2" {
		t.Errorf("%+v", o)
	}
}

func TestTooDeep(t *testing.T) {
	var body strings.Builder
	body.WriteString("n0 OBJECT IDENTIFIER ::= { acme 1 }\n")
	for i := range 1000 { // the deepest first, so that nothing is known on the way
		fmt.Fprintf(&body, "n%d OBJECT IDENTIFIER ::= { n%d 1 }\n", 1000-i, 999-i)
	}
	set, warnings := compileText(t, body.String())
	if o, _, ok := set.Find("n120"); !ok || strings.Count(o.OID, ".") != 127 {
		t.Errorf("n120: %v, %v", o, ok)
	}
	if o, _, ok := set.Find("n121"); ok {
		t.Errorf("n121: %v", o)
	}
	if len(warnings) != 1 {
		t.Errorf("%d warnings: %v", len(warnings), warnings[:min(len(warnings), 3)])
	}
}

// TestRoundsAcrossModules: each name is tried in several modules and never
// found; it takes no longer for that.
func TestRoundsAcrossModules(t *testing.T) {
	var text strings.Builder
	for m := range maxOthers + 2 {
		fmt.Fprintf(&text, "M%d DEFINITIONS ::= BEGIN\n", m)
		for i := range 200 {
			fmt.Fprintf(&text, "n%d OBJECT IDENTIFIER ::= { n%d 1 }\n", i, (i+1)%200)
		}
	}
	set, warnings := Compile(folder("m", text.String()))
	if set.Len() != 0 || len(warnings) == 0 {
		t.Errorf("%d objects, %v", set.Len(), warnings)
	}
}

const v1 = `-- a module of the old kind, in small letters, without commas and semicolons
acme_v1 DEFINITIONS IMPLICIT TAGS ::= BEGIN
IMPORTS enterprises Counter FROM RFC1155-SMI
  OBJECT-TYPE FROM RFC-1212 snmp DisplayString FROM RFC1213-MIB
  acmeProducts FROM acme-products
acmeUps OBJECT IDENTIFIER ::= { acmeProducts 1 }
coldBoot TRAP-TYPE ENTERPRISE snmp DESCRIPTION "generic" ::= 0
onBattery TRAP-TYPE ENTERPRISE acmeUps VARIABLES { ifIndex, load } ::= 5
load OBJECT-TYPE SYNTAX Counter ACCESS read-only STATUS mandatory DESCRIPTION "caf` + "\xe9" + `" ::= { acmeUps 1 }
another-one DEFINITIONS ::= BEGIN IMPORTS acmeUps FROM nowhere-at-all;
extra OBJECT-TYPE SYNTAX AcmeState ::= { acmeUps 2 } END
`

const products = `EXPORTS everything;
acme-products { iso 3 } DEFINITIONS ::= BEGIN
EXPORTS acmeProducts, AcmeState;
acmeProducts OBJECT IDENTIFIER ::= { enterprises acme(99999) 3 }
AcmeState ::= INTEGER { idle(0), busy(1) }
END`

func TestAcrossFiles(t *testing.T) {
	files := folder("a/ups.my", v1, "z/products.txt", products, "README", "not a module")
	set, warnings := Compile(files)
	want := []string{
		"acmeUps 1.3.6.1.4.1.99999.3.1 other",
		"coldBoot 1.3.6.1.6.3.1.1.5.1 notification",
		"onBattery 1.3.6.1.4.1.99999.3.1.0.5 notification [ifIndex] [load]",
		"load 1.3.6.1.4.1.99999.3.1.1 scalar counter",
		"extra 1.3.6.1.4.1.99999.3.1.2 scalar integer idle=0 busy=1",
		"acme 1.3.6.1.4.1.99999 other",
	}
	for _, line := range want {
		name, _, _ := strings.Cut(line, " ")
		if o, _, _ := set.Find(name); brief(o) != line {
			t.Errorf("got  %s\nwant %s", brief(o), line)
		}
	}
	if len(warnings) != 1 || warnings[0].String() != "README: has no MIB module (NAME DEFINITIONS ::= BEGIN)" {
		t.Errorf("warnings: %v", warnings)
	}
	if o, rest, ok := set.At("1.3.6.1.4.1.99999.3.1.0.5"); !ok || o.Name != "onBattery" || rest != "" || o.Module != "acme_v1" {
		t.Errorf("At: %+v, %q", o, rest)
	}
}

// TestImportsHint: the module that the imports name is the one that is meant.
func TestImportsHint(t *testing.T) {
	branch := func(module string, arc int) string {
		return fmt.Sprintf("%s DEFINITIONS ::= BEGIN branch OBJECT IDENTIFIER ::= { enterprises %d } S ::= INTEGER { of%d(1) } END\n", module, arc, arc)
	}
	user := "USER DEFINITIONS ::= BEGIN IMPORTS branch, S FROM B; leaf OBJECT-TYPE SYNTAX S ::= { branch 1 } END"
	for _, files := range []fs.FS{
		folder("1", branch("A", 1), "2", branch("B", 2), "3", branch("C", 3), "0", user),
		folder("0", branch("A", 1)+branch("B", 2)+branch("C", 3)+user),
	} {
		set, warnings := Compile(files)
		if o, _, _ := set.Find("leaf"); brief(o) != "leaf 1.3.6.1.4.1.2.1 scalar integer of2=1" || len(warnings) > 0 {
			t.Errorf("%s, %v", brief(o), warnings)
		}
	}
}

// TestMore: what is compiled already serves another folder.
func TestMore(t *testing.T) {
	site, _ := Compile(folder("products", products))
	set, warnings := Compile(folder("ups", v1), site)
	o, _, _ := set.Find("extra")
	if brief(o) != "extra 1.3.6.1.4.1.99999.3.1.2 scalar integer idle=0 busy=1" || len(warnings) > 0 {
		t.Errorf("%s, %v", brief(o), warnings)
	}
	if _, _, ok := set.Find("acmeProducts"); ok {
		t.Error("the set holds an object of another")
	}
	if o, _, ok := Join(set, nil, site).Find("acmeProducts"); !ok || o.Module != "acme-products" {
		t.Errorf("joined: %+v", o)
	}
	own, _ := Compile(folder("own", "IF-MIB DEFINITIONS ::= BEGIN ifDescr OBJECT-TYPE SYNTAX INTEGER ::= { enterprises 1 } END"))
	if o, _, _ := Join(own, BuiltIn()).Find("IF-MIB::ifDescr"); o.OID != "1.3.6.1.4.1.1" {
		t.Errorf("the first set does not answer first: %+v", o)
	}
}

func TestSameModuleTwice(t *testing.T) {
	one := "M DEFINITIONS ::= BEGIN x OBJECT IDENTIFIER ::= { enterprises %d } END"
	set, warnings := Compile(folder("1", fmt.Sprintf(one, 1), "2", fmt.Sprintf(one, 2)))
	if o, _, _ := set.Find("x"); o.OID != "1.3.6.1.4.1.1" || len(warnings) != 1 || warnings[0].String() != "2: module M is in 1 already, which counts" {
		t.Errorf("%+v, %v", o, warnings)
	}
}

func TestEncodings(t *testing.T) {
	text := "M DEFINITIONS ::= BEGIN\n-- gr\u00fc\u00dfe\nx OBJECT IDENTIFIER ::= { enterprises 1 }\nEND\n"
	wide := func(order binary.AppendByteOrder, mark bool) string {
		var b []byte
		if mark {
			b = order.AppendUint16(b, 0xfeff)
		}
		for _, u := range utf16.Encode([]rune(text)) {
			b = order.AppendUint16(b, u)
		}
		return string(b)
	}
	tests := map[string]string{
		"UTF-8": text, "with a mark": "\ufeff" + text, "Latin-1": strings.ReplaceAll(text, "\u00fc\u00df", "\xfc\xdf"),
		"UTF-16 LE": wide(binary.LittleEndian, true), "UTF-16 BE": wide(binary.BigEndian, true),
		"UTF-16 LE without a mark": wide(binary.LittleEndian, false), "UTF-16 BE without a mark": wide(binary.BigEndian, false),
		"CRLF": strings.ReplaceAll(text, "\n", "\r\n"), "CR": strings.ReplaceAll(text, "\n", "\r"),
		"DOS end": text + "\x1a\x00", "form feeds": strings.ReplaceAll(text, "\n", "\n\f"),
		"hard blanks": strings.ReplaceAll(text, "x OBJECT", "x\u00a0 OBJECT"),
	}
	for name, file := range tests {
		set, warnings := Compile(folder("m", file))
		if _, _, ok := set.Find("M::x"); !ok || len(warnings) > 0 {
			t.Errorf("%s: %v, %v", name, ok, warnings)
		}
	}
}

func TestFolderLimits(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"good": products, "large": strings.Repeat("-", maxFile+1)} {
		if err := os.WriteFile(dir+"/"+name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(dir+"/nowhere", dir+"/link"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/zero", dir+"/zero"); err != nil {
		t.Fatal(err)
	}
	set, warnings := Compile(os.DirFS(dir))
	if _, _, ok := set.Find("acmeProducts"); !ok || len(warnings) != 3 {
		t.Errorf("%v, %v", ok, warnings)
	}
	set, warnings = Compile(os.DirFS(dir + "/nowhere"))
	if set.Len() != 0 || len(warnings) != 1 {
		t.Errorf("no folder: %d objects, %v", set.Len(), warnings)
	}
	set, warnings = compileText(t, strings.Repeat("}", 3)+strings.Repeat("\n7 y ::= ;", 2*maxWarnings))
	if len(warnings) != maxWarnings || set.Len() == 0 {
		t.Errorf("%d warnings", len(warnings))
	}
}

// A bound is told once, before all that follows from it, and what was read until
// then counts.
func TestFolderIsBounded(t *testing.T) {
	names := func(module string, n int) string {
		var b strings.Builder
		fmt.Fprintf(&b, "%s DEFINITIONS ::= BEGIN\n", module)
		for i := range n {
			fmt.Fprintf(&b, "%sx%d OBJECT IDENTIFIER ::= { iso %d }\n", strings.ToLower(module[:1]), i, i+1)
		}
		return b.String() + "END\n"
	}
	many, large := fstest.MapFS{}, fstest.MapFS{}
	for i := range maxFiles + 2 {
		many[fmt.Sprintf("%05d", i)] = &fstest.MapFile{Data: []byte(fmt.Sprintf("M%d DEFINITIONS ::= BEGIN a OBJECT IDENTIFIER ::= { iso 1 } END", i))}
	}
	filler := strings.Repeat("-- nothing\n", 7<<20/11)
	for i := range 6 {
		large[fmt.Sprint(i)] = &fstest.MapFile{Data: []byte(names(fmt.Sprintf("M%d", i), 1) + filler)}
	}
	for _, tt := range []struct {
		name  string
		files fstest.MapFS
		full  string
		least int
	}{
		{"files", many, "02000", 1},
		{"bytes", large, "4", 1},
		{"names", fstest.MapFS{"a": {Data: []byte(names("A", maxNames/2))}, "b": {Data: []byte(names("B", maxNames))}, "c": {Data: []byte("{")}}, "b", maxNames / 2},
	} {
		set, warnings := Compile(tt.files)
		if len(warnings) == 0 || warnings[0].File != tt.full || !strings.Contains(warnings[0].Text, "too large") || set.Len() < tt.least || set.Len() > maxNames {
			t.Errorf("%s: %d objects, warnings %.300v", tt.name, set.Len(), warnings)
		}
		for _, w := range warnings[min(1, len(warnings)):] {
			if strings.Contains(w.Text, "too large") {
				t.Errorf("%s: said twice: %v", tt.name, w)
			}
		}
	}
}

// What has a name beneath an object with a value is an instance of that, in
// whatever file it stands.
func TestNamesOfInstances(t *testing.T) {
	set, warnings := compileText(t, "upNow OBJECT IDENTIFIER ::= { sysUpTime 0 }\nsecondName OBJECT IDENTIFIER ::= { ifDescr 2 }\nhere OBJECT IDENTIFIER ::= { enterprises 7 }\n")
	if len(warnings) > 0 {
		t.Fatal(warnings)
	}
	all := Join(set, BuiltIn())
	for name, want := range map[string]string{
		"upNow": "sysUpTime 0 scalar", "secondName": "ifDescr 2 column", "here": "here  other", "secondName.1": "ifDescr 2.1 column",
		"sysUpTimeInstance": "sysUpTime 0 scalar", "DISMAN-EVENT-MIB::sysUpTimeInstance": "sysUpTime 0 scalar",
		"DISMAN-EXPRESSION-MIB::sysUpTimeInstance": "sysUpTime 0 scalar", "RFC1213-MIB::sysUpTimeInstance": "sysUpTime 0 scalar",
	} {
		if o, arcs, ok := all.Find(name); !ok || o.Name+" "+arcs+" "+o.Kind.String() != want {
			t.Errorf("Find(%s): %s %s, %t; want %s", name, o.Name, arcs, ok, want)
		}
	}
	for oid, want := range map[string]string{
		mib2 + ".1.3.0": "sysUpTime 0", mib2 + ".2.2.1.2.2": "ifDescr 2", mib2 + ".2.2.1.2.2.9": "ifDescr 2.9", "1.3.6.1.4.1.7.1": "here 1",
	} {
		if o, arcs, ok := all.At(oid); !ok || o.Name+" "+arcs != want {
			t.Errorf("At(%s): %s %s, %t; want %s", oid, o.Name, arcs, ok, want)
		}
	}
}

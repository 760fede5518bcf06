package snmptest

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// Problem is a line of a recording that could not be used.
type Problem struct {
	Line   int // 1-based
	Reason string
}

// String names the line and what is wrong with it.
func (p Problem) String() string { return fmt.Sprintf("line %d: %s", p.Line, p.Reason) }

const maxLine = 16 << 20

// LoadRecording reads a .snmprec file; see ReadRecording.
func LoadRecording(path string) (*MIB, []Problem, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("open recording: %w", err)
	}
	defer file.Close()
	mib, problems, err := ReadRecording(file)
	if err != nil {
		return nil, nil, fmt.Errorf("read recording %s: %w", path, err)
	}
	return mib, problems, nil
}

// ReadRecording reads lines of the form OID|TAG|VALUE as snmpsim does. Lines
// may come in any order and are served sorted. Of several lines with one OID
// the last wins, as for a GET of snmpsim. Values keep their trailing spaces.
// A line of a variation module (2:numeric|initial=5, 4:writecache|value=a)
// becomes the fixed value it starts from. Empty lines and lines that start
// with # are skipped. Lines that cannot be used are left out and reported.
func ReadRecording(r io.Reader) (*MIB, []Problem, error) {
	var rows []row
	var problems []Problem
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSuffix(lines.Text(), "\r")
		if text := strings.TrimSpace(line); text == "" || text[0] == '#' {
			continue
		}
		oid, value, err := parseRecord(line)
		if err != nil {
			problems = append(problems, Problem{n, err.Error()})
			continue
		}
		rows = append(rows, newRow(oid, value, nil))
	}
	if err := lines.Err(); err != nil {
		return nil, nil, err
	}
	mib := NewMIB()
	mib.load(rows)
	return mib, problems, nil
}

var (
	errRecord = errors.New("not of the form OID|TAG|VALUE")
	errEscape = errors.New("bad escape")
	errStart  = errors.New("variation module without value=, initial= or min=")
)

func parseRecord(line string) (OID, Value, error) {
	name, rest, _ := strings.Cut(line, "|")
	tag, text, ok := strings.Cut(rest, "|")
	if !ok {
		return nil, Value{}, errRecord
	}
	oid, err := ParseOID(strings.TrimSpace(name))
	if err != nil {
		return nil, Value{}, err
	}
	tag, module, varies := strings.Cut(strings.TrimSpace(tag), ":")
	if varies {
		if text, err = startOf(text); err != nil {
			return nil, Value{}, fmt.Errorf("read %s: %w", module, err)
		}
	}
	value, err := parseRecorded(tag, text)
	if err != nil {
		return nil, Value{}, fmt.Errorf("read value of tag %s: %w", tag, err)
	}
	return oid, value, nil
}

// startOf is the value with which a variation module starts.
func startOf(settings string) (string, error) {
	found := make(map[string]string)
	for _, setting := range strings.Split(settings, ",") {
		key, value, _ := strings.Cut(setting, "=")
		found[strings.TrimSpace(key)] = value
	}
	for _, key := range []string{"value", "initial", "min"} {
		if value, ok := found[key]; ok {
			return value, nil
		}
	}
	return "", errStart
}

func parseRecorded(tag, text string) (Value, error) {
	number, form := splitTag(tag)
	code, err := strconv.ParseUint(number, 10, 8)
	if err != nil {
		return Value{}, errValueTag
	}
	raw := text
	switch form {
	case 'x':
		raw, err = unhex(text)
	case 'e':
		raw, err = unescape(text)
	}
	if err != nil {
		return Value{}, err
	}
	return recorded(Tag(code), raw, form == 0)
}

// splitTag takes the suffix x (hex) or e (escaped) off a tag.
func splitTag(tag string) (number string, form byte) {
	if n := len(tag); n > 1 && (tag[n-1] == 'x' || tag[n-1] == 'e') {
		return tag[:n-1], tag[n-1]
	}
	return tag, 0
}

// recorded makes a value of a tag as recordings number them, which is the BER
// tag in decimal.
func recorded(tag Tag, raw string, plain bool) (Value, error) {
	text := strings.TrimSpace(raw)
	switch tag {
	case TagOctetString, TagOpaque:
		return Value{tag, raw}, nil
	case TagNull, TagNoSuchObject, TagNoSuchInstance, TagEndOfMibView:
		return Value{Tag: tag}, nil
	case TagObjectID:
		oid, err := ParseOID(text)
		if err != nil {
			return Value{}, err
		}
		return ObjectID(oid), nil
	case TagIPAddress:
		return recordedAddress(raw, plain)
	case TagInteger:
		n, err := strconv.ParseInt(text, 10, 32)
		return Integer(int32(n)), err
	case TagCounter32, TagGauge32, TagTimeTicks:
		n, err := strconv.ParseUint(text, 10, 32)
		return unsigned(tag, n), err
	case TagCounter64:
		n, err := strconv.ParseUint(text, 10, 64)
		return Counter64(n), err
	}
	return Value{}, errValueTag
}

// recordedAddress takes four raw octets, or dotted text.
func recordedAddress(raw string, plain bool) (Value, error) {
	if len(raw) == 4 {
		return Value{TagIPAddress, raw}, nil
	}
	if !plain {
		return Value{}, errValueLength
	}
	address, err := netip.ParseAddr(strings.TrimSpace(raw))
	if err != nil {
		return Value{}, err
	}
	if !address.Is4() {
		return Value{}, errValueLength
	}
	return IPAddress(address.As4()), nil
}

func unhex(text string) (string, error) {
	text = strings.TrimPrefix(strings.TrimSpace(text), "0x")
	raw, err := hex.DecodeString(text)
	return string(raw), err
}

// unescape reads the escapes of a Python string literal.
func unescape(text string) (string, error) {
	var raw []byte
	for len(text) > 0 {
		if text[0] != '\\' {
			raw = append(raw, text[0])
			text = text[1:]
			continue
		}
		octet, size, err := unescapeOne(text)
		if err != nil {
			return "", err
		}
		raw = append(raw, octet)
		text = text[size:]
	}
	return string(raw), nil
}

func unescapeOne(text string) (octet byte, size int, err error) {
	const plain, octets = `\'"abfnrtv`, "\\'\"\a\b\f\n\r\t\v"
	if len(text) < 2 {
		return 0, 0, errEscape
	}
	if i := strings.IndexByte(plain, text[1]); i >= 0 {
		return octets[i], 2, nil
	}
	if text[1] != 'x' || len(text) < 4 {
		return 0, 0, fmt.Errorf("%w %q", errEscape, text[:2])
	}
	n, err := strconv.ParseUint(text[2:4], 16, 8)
	if err != nil {
		return 0, 0, fmt.Errorf("%w %q", errEscape, text[:4])
	}
	return byte(n), 4, nil
}

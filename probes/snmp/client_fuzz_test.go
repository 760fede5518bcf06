package snmp

import (
	"errors"
	"strconv"
	"testing"
)

// Whatever an agent answers, a walk comes to an end, an ordered one gives OIDs
// that increase below its root, and an unordered one gives none twice.
func FuzzStream(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4, 5}, false)
	f.Add([]byte{1, 9, 4, 4, 0xf0, 0xf1, 0xf2, 0xf3}, true)
	f.Fuzz(func(t *testing.T, script []byte, unordered bool) {
		seen, last := map[string]bool{}, ""
		w := newStream(entry, len(script)%2 == 1, WalkOptions{Unordered: unordered, MaxRows: 50}, func(v Varbind) error {
			if unordered && seen[v.OID] {
				t.Fatalf("%s came twice", v.OID)
			}
			if _, inside := indexUnder(entry, v.OID); !unordered && (!inside || last != "" && compareOIDs(v.OID, last) <= 0) {
				t.Fatalf("%s after %s", v.OID, last)
			}
			seen[v.OID], last = true, v.OID
			return nil
		})
		for requests := 0; ; requests++ {
			r, ok := w.next()
			if !ok {
				break
			}
			if requests > 400 {
				t.Fatal("no end")
			}
			w.feed(scriptedReply(&script, r))
		}
		if w.report.Rows != len(seen) || w.report.Rows > 50 {
			t.Fatalf("%d rows, reported %+v", len(seen), w.report)
		}
	})
}

// scriptedReply makes a reply of the next bytes; without more it is empty.
func scriptedReply(script *[]byte, r request) (response, error) {
	var resp response
	for range max(r.reps, 1) {
		if len(*script) == 0 {
			break
		}
		c := (*script)[0]
		*script = (*script)[1:]
		switch {
		case c == 0xf0:
			return response{}, errMalformed
		case c == 0xf1:
			return response{status: tooBig}, nil
		case c == 0xf2:
			return response{status: noSuchName, index: 1}, nil
		case c == 0xf3:
			return response{}, errors.New("lost")
		case c == 0xf4:
			resp.vars = append(resp.vars, varbind{oid: r.oids[0], exc: endOfMibView})
		case c == 0xf5:
			resp.vars = append(resp.vars, varbind{oid: entry + ".1.77", exc: noSuch})
		case c > 0xf5:
			resp.vars = append(resp.vars, varbind{oid: "1.3.6.1.2.1.1." + strconv.Itoa(int(c))})
		default:
			resp.vars = append(resp.vars, varbind{oid: entry + ".1." + strconv.Itoa(int(c)), cell: number(1), tag: byte(TagInteger)})
		}
	}
	resp.size = 30 * len(resp.vars)
	return resp, nil
}

package snmptest

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func smallMIB() *MIB {
	m := NewMIB()
	m.Set(MustOID("1.3.6.1.1.0"), Integer(1))
	m.Set(MustOID("1.3.6.1.2.1"), Counter32(10))
	m.Set(MustOID("1.3.6.1.2.2"), Counter32(20))
	m.Set(MustOID("1.3.6.1.3.1"), Counter64(1<<40))
	m.Set(MustOID("1.3.6.1.3.2"), Counter64(2<<40))
	m.Set(MustOID("1.3.6.1.4.0"), OctetString("end"))
	return m
}

// shape is a reply in short: status, index and name=tag of each varbind.
func shape(m *Message) string {
	parts := []string{fmt.Sprintf("%d/%d", m.Status, m.Index)}
	for _, v := range m.Varbinds {
		parts = append(parts, fmt.Sprintf("%s=%x", strings.TrimPrefix(v.Name.String(), "1.3.6.1."), byte(v.Value.Tag)))
	}
	return strings.Join(parts, " ")
}

func TestAnswers(t *testing.T) {
	tests := []struct {
		name        string
		version     Version
		kind        PDUType
		status, max int32
		ask         string
		want        string
	}{
		{"get", V2c, GetRequest, 0, 0, "1.0 2.2", "0/0 1.0=2 2.2=41"},
		{"get what is not there", V2c, GetRequest, 0, 0, "1.0 2.3 9.0", "0/0 1.0=2 2.3=81 9.0=80"},
		{"get nothing", V2c, GetRequest, 0, 0, "", "0/0"},
		{"next", V2c, GetNextRequest, 0, 0, "1 2.1 2.2", "0/0 1.0=2 2.2=41 3.1=46"},
		{"next of the last", V2c, GetNextRequest, 0, 0, "3.2 4.0 9", "0/0 4.0=4 4.0=82 9=82"},
		{"v1 get", V1, GetRequest, 0, 0, "1.0 2.2", "0/0 1.0=2 2.2=41"},
		{"v1 get what is not there", V1, GetRequest, 0, 0, "1.0 2.3 9.0", "2/2 1.0=5 2.3=5 9.0=5"},
		{"v1 get of Counter64", V1, GetRequest, 0, 0, "3.1", "2/1 3.1=5"},
		{"v1 next skips Counter64", V1, GetNextRequest, 0, 0, "2.2", "0/0 4.0=4"},
		{"v1 next of the last", V1, GetNextRequest, 0, 0, "1 4.0", "2/2 1=5 4.0=5"},
		{"bulk", V2c, GetBulkRequest, 0, 2, "1 2.1", "0/0 1.0=2 2.2=41 2.1=41 3.1=46"},
		{"bulk with a scalar", V2c, GetBulkRequest, 1, 2, "1 3", "0/0 1.0=2 3.1=46 3.2=46"},
		{"bulk of scalars only", V2c, GetBulkRequest, 5, 9, "1 3", "0/0 1.0=2 3.1=46"},
		{"bulk with negative counts", V2c, GetBulkRequest, -1, -1, "1 3", "0/0"},
		{"bulk of no repetitions", V2c, GetBulkRequest, 0, 0, "1 3", "0/0"},
		{"bulk stops at the end", V2c, GetBulkRequest, 0, 1 << 30, "3.2", "0/0 4.0=4 4.0=82"},
		{
			"bulk with one column at the end", V2c, GetBulkRequest, 0, 3, "4.0 3.1",
			"0/0 4.0=82 3.2=46 4.0=82 4.0=4 4.0=82 4.0=82",
		},
	}
	_, c := start(t, smallMIB())
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req := Message{Header: Header{tt.version, "public", tt.kind, 99, tt.status, tt.max}}
			for name := range strings.FieldsSeq(tt.ask) {
				req.Varbinds = append(req.Varbinds, Varbind{MustOID("1.3.6.1." + name), Null()})
			}
			c.send(req.Append(nil))
			got := c.reply()
			if shape(got) != tt.want {
				t.Errorf("got %s, want %s", shape(got), tt.want)
			}
			if got.Version != tt.version || got.RequestID != 99 || got.Type != Response {
				t.Errorf("header is %+v", got.Header)
			}
		})
	}
}

func TestWhatIsNotAnswered(t *testing.T) {
	r, c := start(t, smallMIB())
	for _, m := range []Message{
		{Header: Header{V2c, "private", GetRequest, 1, 0, 0}},
		{Header: Header{V2c, "public", Response, 2, 0, 0}},
		{Header: Header{V1, "public", GetBulkRequest, 3, 0, 5}},
	} {
		c.send(m.Append(nil))
	}
	c.send([]byte("no SNMP"))
	c.ask(GetRequest, 0, OID{1, 3})
	want := Requests{Get: 2, Unknown: 1, Malformed: 3, Replies: 1, Varbinds: 1}
	until(t, "the count of the reply", func() bool { return r.Requests().Replies == 1 && r.Requests().Varbinds == 1 })
	if got := r.Requests(); got != want {
		t.Errorf("counts are %+v, want %+v", got, want)
	}
}

func wideMIB(rows, width int) *MIB {
	m := NewMIB()
	for i := range rows {
		m.Set(MustOID("1.3.6.1.5").Append(uint32(i+1)), OctetString(strings.Repeat("x", width)))
	}
	return m
}

func TestRepliesFit(t *testing.T) {
	for _, limit := range []int{1472, 484} {
		r, err := Start(Options{Communities: map[string]*MIB{"public": wideMIB(200, 40)}, MaxReply: limit})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		c := dial(t, r)
		c.request(GetBulkRequest, 200, MustOID("1.3.6.1.5"))
		datagram, _ := c.receive()
		m, err := Decode(datagram)
		if err != nil {
			t.Fatal(err)
		}
		one := elementSize(elementSize(8) + elementSize(40))
		if len(datagram) > limit || len(datagram)+one <= limit {
			t.Errorf("a reply of %d bytes, want at most %d and no room for %d more", len(datagram), limit, one)
		}
		for i, v := range m.Varbinds {
			if v.Name[4] != 5 || v.Name[5] != uint32(i+1) {
				t.Fatalf("varbind %d is %s", i, v.Name)
			}
		}
		var all []OID
		for i := range 60 {
			all = append(all, MustOID("1.3.6.1.5").Append(uint32(i+1)))
		}
		if got := c.ask(GetRequest, 0, all...); got.Status != StatusTooBig || len(got.Varbinds) != 0 {
			t.Errorf("a GET that cannot fit gives %s", shape(got))
		}
	}
}

func TestOneRowTooBig(t *testing.T) {
	m := wideMIB(1, 2000)
	_, c := start(t, m)
	name := MustOID("1.3.6.1.5.1")
	for kind, asked := range map[PDUType]OID{GetRequest: name, GetNextRequest: name[:5], GetBulkRequest: name[:5]} {
		if got := c.ask(kind, 10, asked); got.Status != StatusTooBig || len(got.Varbinds) != 0 {
			t.Errorf("%x gives %s", byte(kind), shape(got))
		}
	}
	req := Message{Header{V1, "public", GetRequest, 5, 0, 0}, []Varbind{{name, Null()}}}
	c.send(req.Append(nil))
	if got := c.reply(); got.Status != StatusTooBig || !reflect.DeepEqual(got.Varbinds, req.Varbinds) {
		t.Errorf("v1 gives %s", shape(got))
	}
}

// A walk with the hints of a bulk must find what single steps find.
func TestBulkEqualsNext(t *testing.T) {
	mib := NewSwitch("sw", 24, 7, fixedClock())
	_, c := start(t, mib)
	var bulk, next []string
	for at := (OID{1, 3}); ; {
		got := c.ask(GetBulkRequest, 30, at)
		for _, v := range got.Varbinds {
			if v.Value.Tag != TagEndOfMibView {
				bulk = append(bulk, v.Name.String())
			}
		}
		last := got.Varbinds[len(got.Varbinds)-1]
		if at = last.Name; last.Value.Tag == TagEndOfMibView {
			break
		}
	}
	for at := (OID{1, 3}); ; {
		v := c.ask(GetNextRequest, 0, at).Varbinds[0]
		if at = v.Name; v.Value.Tag == TagEndOfMibView {
			break
		}
		next = append(next, v.Name.String())
	}
	if want := names(mib); !slices.Equal(bulk, want) || !slices.Equal(next, want) {
		t.Errorf("bulk finds %d, next %d of %d rows", len(bulk), len(next), len(want))
	}
}

func TestCommunityPicksMIB(t *testing.T) {
	a, b := NewMIB(), NewMIB()
	a.Set(OID{1, 3, 1}, Integer(1))
	b.Set(OID{1, 3, 1}, Integer(2))
	r, err := Start(Options{Communities: map[string]*MIB{"a": a, "b": b}})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	c := dial(t, r)
	for community, want := range map[string]Value{"a": Integer(1), "b": Integer(2)} {
		m := Message{Header{V2c, community, GetRequest, 1, 0, 0}, []Varbind{{OID{1, 3, 1}, Null()}}}
		c.send(m.Append(nil))
		if got := c.reply(); got.Varbinds[0].Value != want || got.Community != community {
			t.Errorf("%s gives %+v", community, got)
		}
	}
}

func TestStartAndClose(t *testing.T) {
	first, err := Start(Options{})
	if err != nil {
		t.Fatal(err)
	}
	address := first.Addr()
	if _, err := Start(Options{Addr: address}); err == nil {
		t.Error("two responders share an address")
	}
	if _, err := Start(Options{Addr: "nowhere"}); err == nil {
		t.Error("a bad address is no error")
	}
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	second, err := Start(Options{Addr: address})
	if err != nil {
		t.Fatalf("the address is not free again: %v", err)
	}
	for range 2 {
		if err := second.Close(); err != nil {
			t.Error(err)
		}
	}
}

package snmptest

import (
	"bytes"
	"testing"
	"time"
)

var (
	root   = MustOID("1.3.6.1")
	column = MustOID("1.3.6.1.2")
	end    = MustOID("1.3.6.1.4.0")
)

// TestFaultsSeen tells a device each fault, sends one request and compares the
// reply in short.
func TestFaultsSeen(t *testing.T) {
	tests := []struct {
		name   string
		faults Faults
		kind   PDUType
		reps   int32
		ask    OID
		want   string
	}{
		{"healthy", Faults{}, GetBulkRequest, 3, root, "0/0 1.0=2 2.1=41 2.2=41"},
		{"TooBig above", Faults{TooBig: 2}, GetBulkRequest, 3, root, "1/0"},
		{"TooBig at", Faults{TooBig: 2}, GetBulkRequest, 2, root, "0/0 1.0=2 2.1=41"},
		{"TooBig leaves GETNEXT", Faults{TooBig: 2}, GetNextRequest, 0, root, "0/0 1.0=2"},
		{"GenErr in GET", Faults{GenErr: column}, GetRequest, 0, column.Append(1), "5/1 2.1=5"},
		{"GenErr in GETNEXT", Faults{GenErr: column}, GetNextRequest, 0, MustOID("1.3.6.1.1.0"), "5/1 1.0=5"},
		{"GenErr in GETBULK", Faults{GenErr: column}, GetBulkRequest, 3, root, "5/1 1.3.6.1=5"},
		{"GenErr behind the reply", Faults{GenErr: column}, GetBulkRequest, 1, root, "0/0 1.0=2"},
		{"EndlessTable", Faults{EndlessTable: column}, GetBulkRequest, 5, column, "0/0 2.1=41 2.2=41 2.3=41 2.4=41 2.5=41"},
		{"EndlessTable further on", Faults{EndlessTable: column}, GetNextRequest, 0, column.Append(77), "0/0 2.78=41"},
		{
			"EndlessTable at the last index",
			Faults{EndlessTable: column},
			GetNextRequest, 0, column.Append(1<<32 - 1),
			"0/0 2.4294967295.1=41",
		},
		{"EndlessTable without rows", Faults{EndlessTable: root.Append(7)}, GetBulkRequest, 2, root.Append(7), "0/0 7.1=2 7.2=2"},
		{
			"LoopBack to itself",
			Faults{LoopBack: Loop{column.Append(1), column.Append(1)}},
			GetBulkRequest, 4, root,
			"0/0 1.0=2 2.1=41 2.1=41 2.1=41",
		},
		{
			"LoopBack backwards",
			Faults{LoopBack: Loop{column.Append(2), column.Append(1)}},
			GetBulkRequest, 5, root,
			"0/0 1.0=2 2.1=41 2.2=41 2.1=41 2.2=41",
		},
		{
			"NoSuchInstanceMid in a walk",
			Faults{NoSuchInstanceMid: column.Append(1)},
			GetBulkRequest, 3, root,
			"0/0 1.0=2 2.1=81 2.2=41",
		},
		{"NoSuchInstanceMid in GET", Faults{NoSuchInstanceMid: column.Append(1)}, GetRequest, 0, column.Append(1), "0/0 2.1=81"},
	}
	r, c := start(t, smallMIB())
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r.SetFaults(tt.faults)
			if got := shape(c.ask(tt.kind, tt.reps, tt.ask)); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestFaultsSilent(t *testing.T) {
	tests := []struct {
		name   string
		faults Faults
		kind   PDUType
		mute   bool
	}{
		{"Silent", Faults{Silent: true}, GetRequest, true},
		{"DropBulk", Faults{DropBulk: true}, GetBulkRequest, true},
		{"DropBulk leaves GETNEXT", Faults{DropBulk: true}, GetNextRequest, false},
		{"DropBulk leaves GET", Faults{DropBulk: true}, GetRequest, false},
		{"DropLarge", Faults{DropLarge: 60}, GetBulkRequest, true},
		{"DropLarge leaves small ones", Faults{DropLarge: 60}, GetNextRequest, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, c := start(t, smallMIB())
			r.SetFaults(tt.faults)
			if tt.mute {
				c.unanswered(r, tt.kind, 5, root)
			} else {
				c.ask(tt.kind, 5, root)
			}
		})
	}
}

func TestHalfTable(t *testing.T) {
	r, c := start(t, smallMIB())
	r.SetFaults(Faults{HalfTable: 3})
	for range 2 { // a new walk has its own count
		got := c.ask(GetBulkRequest, 2, root)
		if len(got.Varbinds) != 2 {
			t.Fatalf("first reply is %s", shape(got))
		}
		got = c.ask(GetBulkRequest, 2, got.Varbinds[1].Name)
		if shape(got) != "0/0 2.2=41" {
			t.Fatalf("second reply is %s", shape(got))
		}
		c.ask(GetRequest, 0, end)
	}
	c.ask(GetBulkRequest, 3, root)
	c.unanswered(r, GetNextRequest, 0, column.Append(2))
}

func TestFaultsInTheHeader(t *testing.T) {
	r, c := start(t, smallMIB())
	for name, tt := range map[string]struct {
		faults Faults
		want   Header
	}{
		"WrongRequestID": {Faults{WrongRequestID: true}, Header{V2c, "public", Response, 0, 0, 0}},
		"WrongCommunity": {Faults{WrongCommunity: true}, Header{V2c, "public-other", Response, 1, 0, 0}},
		"WrongPDUType":   {Faults{WrongPDUType: true}, Header{V2c, "public", GetRequest, 1, 0, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			r.SetFaults(tt.faults)
			c.id = 0
			c.request(GetRequest, 0, end)
			if got := c.reply(); got.Header != tt.want {
				t.Errorf("header is %+v, want %+v", got.Header, tt.want)
			}
		})
	}
	if wrongID(0) == 0 {
		t.Error("request-id 0 is answered with 0")
	}
}

// The message around the fault is whole in both, so that only a decoder that
// looks at the varbind itself can see it.
func TestFaultsInTheEncoding(t *testing.T) {
	for name, tt := range map[string]struct {
		faults Faults
		want   string
	}{
		"TruncatedVarbind": {
			Faults{TruncatedVarbind: true},
			"3025 020101 0406 7075626c6963 a218 020101 020100 020100 300d 300c 0605 2b06010400 0403 656e",
		},
		"ZeroLengthInteger": {
			Faults{ZeroLengthInteger: end},
			"3023 020101 0406 7075626c6963 a216 020101 020100 020100 300b 3009 0605 2b06010400 0200",
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, c := start(t, smallMIB())
			r.SetFaults(tt.faults)
			c.request(GetRequest, 0, end)
			if got, _ := c.receive(); !bytes.Equal(got, unhexed(t, tt.want)) {
				t.Errorf("got %x, want %s", got, tt.want)
			}
		})
	}
}

func TestFaultsOfDelivery(t *testing.T) {
	r, c := start(t, smallMIB())

	r.SetFaults(Faults{JunkFirst: 2})
	id := c.request(GetRequest, 0, end)
	for range 2 {
		junk, _ := c.receive()
		if m, err := Decode(junk); err == nil {
			t.Errorf("junk is decoded: %+v", m)
		}
	}
	if got := c.reply(); got.RequestID != id {
		t.Errorf("junk is followed by %+v", got.Header)
	}

	r.SetFaults(Faults{Duplicate: true})
	c.request(GetRequest, 0, end)
	first, _ := c.receive()
	second, _ := c.receive()
	if !bytes.Equal(first, second) {
		t.Errorf("duplicate of %x is %x", first, second)
	}

	r.SetFaults(Faults{LateReply: true})
	for range 2 {
		early, late := c.request(GetRequest, 0, end), c.request(GetRequest, 0, column.Append(1))
		a, b := c.reply(), c.reply()
		if a.RequestID != early || b.RequestID != late || shape(a) != "0/0 4.0=4" || shape(b) != "0/0 2.1=41" {
			t.Errorf("late replies are %+v and %+v", a, b)
		}
	}
	c.unanswered(r, GetRequest, 0, end)
}

func TestOtherSource(t *testing.T) {
	r, c := start(t, smallMIB())
	r.SetFaults(Faults{OtherSource: "127.0.0.1:0"})
	c.request(GetRequest, 0, end)
	if _, from := c.receive(); from.Addr() != c.to.Addr() || from.Port() == c.to.Port() {
		t.Errorf("asked %s, another port answers from %s", c.to, from)
	}
	r.SetFaults(Faults{OtherSource: "127.0.0.2:0"})
	c.request(GetRequest, 0, end)
	if _, from := c.receive(); from.Addr() == c.to.Addr() {
		t.Errorf("asked %s, another address answers from %s", c.to, from)
	}
	r.SetFaults(Faults{OtherSource: "nowhere"})
	c.unanswered(r, GetRequest, 0, end)
}

func TestDelay(t *testing.T) {
	r, err := Start(Options{Communities: map[string]*MIB{"public": smallMIB()}})
	if err != nil {
		t.Fatal(err)
	}
	c := dial(t, r)
	const delay = 20 * time.Millisecond
	r.SetFaults(Faults{Delay: delay})
	asked := time.Now()
	c.ask(GetRequest, 0, end)
	if waited := time.Since(asked); waited < delay {
		t.Errorf("answered after %s already", waited)
	}
	r.SetFaults(Faults{Delay: time.Hour})
	c.request(GetRequest, 0, end)
	until(t, "the request", func() bool { return r.Requests().Get == 2 })
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if got := r.Requests().Replies; got != 1 {
		t.Errorf("%d replies, want 1", got)
	}
}

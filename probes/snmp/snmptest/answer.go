package snmptest

import "slices"

// lookup answers one request from one state of a MIB; its caller holds the
// read lock of the MIB.
type lookup struct {
	mib     *MIB
	version Version
	faults  *Faults
	maxSize int // longest datagram, bytes
	maxRows int // most varbinds in the answer to a GetBulkRequest
	spoilt  *bool
}

// binding is one varbind of an answer and the place it was found at.
type binding struct {
	oid   OID
	name  string // oid, encoded
	value Value
	at    int // row of the MIB, -1 when it is none
	long  bool
}

// reply is a message whose varbinds are encoded.
type reply struct {
	Header
	list  []byte
	count int
}

func (l *lookup) answer(req *Message) reply {
	if req.Type == GetBulkRequest {
		return l.bulk(req)
	}
	r := accept(req)
	for i, v := range req.Varbinds {
		b := binding{oid: v.Name, at: -1}
		if req.Type == GetRequest {
			b = l.get(v.Name)
		} else {
			b = l.next(b)
		}
		if !l.speaks(b.value) {
			return refuse(req, StatusNoSuchName, i+1)
		}
		if status, fails := l.fails(b); fails {
			return refuse(req, status, i+1)
		}
		if !r.add(b, l.maxSize) {
			return refuse(req, StatusTooBig, 0)
		}
	}
	return r
}

func (l *lookup) bulk(req *Message) reply {
	if l.faults.TooBig > 0 && int(req.Index) > l.faults.TooBig {
		return refuse(req, StatusTooBig, 0)
	}
	if l.faults.BulkError != 0 {
		return refuse(req, l.faults.BulkError, 0)
	}
	if l.faults.BulkEmpty {
		return accept(req)
	}
	cursors := make([]binding, len(req.Varbinds))
	for i, v := range req.Varbinds {
		cursors[i] = binding{oid: v.Name, at: -1}
	}
	once := min(max(int(req.Status), 0), len(cursors))
	r := accept(req)
	if end := l.round(&r, cursors[:once], 0); end.failed > 0 {
		return refuse(req, end.status, end.failed)
	} else if end.full {
		return r.orTooBig(req)
	}
	for range max(req.Index, 0) {
		end := l.round(&r, cursors[once:], once)
		switch {
		case end.failed > 0:
			return refuse(req, end.status, end.failed)
		case end.full:
			return r.orTooBig(req)
		case end.dry:
			return r
		}
	}
	return r
}

// ending says why a GetBulkRequest needs no further round.
type ending struct {
	failed int   // 1-based varbind of the request, 0: none
	status int32 // why
	full   bool  // the reply takes no more
	dry    bool  // every column is past the end of the MIB
}

// round moves each cursor one row on and adds what it finds.
func (l *lookup) round(r *reply, cursors []binding, before int) ending {
	dry := true
	for i := range cursors {
		cursors[i] = l.next(cursors[i])
		if status, fails := l.fails(cursors[i]); fails {
			return ending{failed: before + i + 1, status: status}
		}
		if r.count >= l.maxRows || !r.add(cursors[i], l.maxSize) {
			return ending{full: true}
		}
		dry = dry && cursors[i].value.Tag == TagEndOfMibView
	}
	return ending{dry: dry}
}

func (l *lookup) get(oid OID) binding {
	return l.spoil(binding{oid: oid, name: nameOf(oid), value: l.mib.get(oid), at: -1})
}

// next finds what follows a binding. Behind the last row it is the same name
// with EndOfMibView.
func (l *lookup) next(from binding) binding {
	if to, ok := l.faults.jump(from.oid); ok {
		return l.get(to)
	}
	rows := l.mib.rows
	at := l.mib.after(from.oid, from.at)
	if b, ok := l.madeUp(from.oid, at); ok {
		return b
	}
	for ; at < len(rows); at++ {
		if value := rows[at].now(); l.speaks(value) {
			return l.spoil(binding{oid: rows[at].oid, name: rows[at].name, value: value, at: at})
		}
	}
	return binding{oid: from.oid, name: nameOf(from.oid), value: EndOfMibView(), at: -1}
}

// speaks tells whether the version can carry the value: v1 has no Counter64
// (RFC 3584, section 4.2) and no exceptions.
func (l *lookup) speaks(v Value) bool {
	return l.version != V1 || v.Tag != TagCounter64 && !v.missing()
}

func accept(req *Message) reply {
	r := reply{Header: req.Header}
	r.Type, r.Status, r.Index = Response, StatusNoError, 0
	return r
}

// refuse is the reply that repeats the varbinds of the request, or has none
// for a tooBig of v2c (RFC 3416, section 4.2).
func refuse(req *Message, status int32, index int) reply {
	r := accept(req)
	r.Status, r.Index = status, int32(index)
	if status == StatusTooBig && req.Version != V1 {
		return r
	}
	for _, v := range req.Varbinds {
		r.list = appendVarbind(r.list, nameOf(v.Name), v.Value)
	}
	return r
}

// add appends a binding unless the datagram would outgrow size.
func (r *reply) add(b binding, size int) bool {
	need := elementSize(len(b.name) + elementSize(len(b.value.Body)))
	if messageSize(r.Header, len(r.list)+need) > size {
		return false
	}
	if r.list == nil {
		r.list = make([]byte, 0, size)
	}
	r.list = appendVarbind(r.list, b.name, b.value)
	if b.long {
		r.list[len(r.list)-len(b.value.Body)-1]++
	}
	r.count++
	return true
}

// orTooBig is r unless nothing fitted into it.
func (r *reply) orTooBig(req *Message) reply {
	if r.count == 0 {
		return refuse(req, StatusTooBig, 0)
	}
	return *r
}

// cut takes the last n octets off the varbinds, so that the last one ends
// before its own length says.
func (r *reply) cut(n int) { r.list = slices.Clip(r.list[:max(len(r.list)-n, 0)]) }

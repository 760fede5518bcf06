package cms

import (
	"bytes"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
)

// Identifier octets of the elements that occur.
const (
	tagBoolean    = 0x01
	tagInteger    = 0x02
	tagBits       = 0x03
	tagOctets     = 0x04
	tagOID        = 0x06
	tagUTF8       = 0x0c
	tagTime       = 0x18
	tagSequence   = 0x30
	tagSet        = 0x31
	tagImplicit0  = 0x80
	tagContext0   = 0xa0
	tagContext1   = 0xa1
	tagContext2   = 0xa2
	tagContext3   = 0xa3
	tagContext4   = 0xa4
	derIndefinite = 0x80
)

// unwrap gives the DER form of a PEM block or of DER. A PEM block must be as
// an encoder writes it, with blank lines at most around it: what decoders skip
// in silence would be room for unsigned content.
func unwrap(data []byte) ([]byte, *Error) {
	if len(data) > maxBytes {
		return nil, refuse(RuleTooLarge, "the signature has %d bytes, at most %d are read", len(data), maxBytes)
	}
	if len(data) > 0 && data[0] == tagSequence {
		return data, nil
	}
	text := bytes.ReplaceAll(bytes.TrimRight(data, " \t\r\n"), []byte("\r\n"), []byte("\n"))
	text = bytes.TrimLeft(text, "\n")
	if !bytes.HasPrefix(text, []byte("-----BEGIN ")) {
		return nil, refuse(RuleNotCMS, "this is neither PEM nor DER of a CMS signature")
	}
	block, rest := pem.Decode(text)
	if block == nil {
		return nil, refuse(RuleNotCMS, "the PEM block is damaged")
	}
	if len(rest) > 0 {
		return nil, refuse(RuleTrailingData, "%d bytes follow the PEM block", len(rest))
	}
	if block.Type != "CMS" && block.Type != "PKCS7" {
		return nil, refuse(RuleNotCMS, "the PEM block is labelled %.40q, not CMS or PKCS7", block.Type)
	}
	if len(block.Headers) > 0 || !bytes.Equal(bytes.TrimSpace(pem.EncodeToMemory(block)), text) {
		return nil, refuse(RuleNotCMS, "the PEM block is not one plain block of lines of 64 characters")
	}
	return block.Bytes, nil
}

// reader walks the elements of one DER value. The first fault sticks, in all
// readers of one value, and gives zero values from then on.
type reader struct {
	rest  []byte
	fault **Error
}

func newReader(data []byte) *reader {
	return &reader{rest: data, fault: new(*Error)}
}

func (r *reader) fail(e *Error) {
	if *r.fault == nil {
		*r.fault = e
	}
	r.rest = nil
}

func (r *reader) err() *Error { return *r.fault }

// more says whether another element follows; it ends every loop on a fault.
func (r *reader) more() bool { return len(r.rest) > 0 && *r.fault == nil }

// at says whether the next element carries this identifier.
func (r *reader) at(tag byte) bool { return r.more() && r.rest[0] == tag }

// end holds that nothing is left.
func (r *reader) end(what string) {
	if r.more() {
		r.fail(refuse(RuleTrailingData, "%d bytes follow the end of the %s", len(r.rest), what))
	}
}

// any takes the next element, whatever it is.
func (r *reader) any(what string) asn1.RawValue {
	if *r.fault != nil {
		return asn1.RawValue{}
	}
	var v asn1.RawValue
	if len(r.rest) > 1 && r.rest[1] == derIndefinite {
		r.fail(refuse(RuleNotDER, "%s is in the streamed form (indefinite length), DER is needed: sign again without -stream", what))
		return v
	}
	rest, err := asn1.Unmarshal(r.rest, &v)
	if err != nil {
		r.fail(refuse(RuleNotCMS, "%s cannot be read: %v", what, err))
		return asn1.RawValue{}
	}
	r.rest = rest
	return v
}

// element takes the next element, which must carry this identifier.
func (r *reader) element(tag byte, what string) asn1.RawValue {
	if *r.fault == nil && !r.at(tag) {
		r.fail(refuse(RuleNotCMS, "%s is missing or of another type", what))
	}
	return r.any(what)
}

// into takes the next element and gives a reader of what is in it.
func (r *reader) into(tag byte, what string) *reader {
	return &reader{rest: r.element(tag, what).Bytes, fault: r.fault}
}

// scalar takes the next element into a value of encoding/asn1.
func (r *reader) scalar(tag byte, what string, value any) {
	v := r.element(tag, what)
	if *r.fault != nil {
		return
	}
	if _, err := asn1.Unmarshal(v.FullBytes, value); err != nil {
		r.fail(refuse(RuleNotCMS, "%s cannot be read: %v", what, err))
	}
}

func (r *reader) oid(what string) (oid asn1.ObjectIdentifier) {
	r.scalar(tagOID, what, &oid)
	return oid
}

func (r *reader) integer(what string) (n *big.Int) {
	n = new(big.Int)
	r.scalar(tagInteger, what, &n)
	return n
}

func (r *reader) small(what string) (n int) {
	r.scalar(tagInteger, what, &n)
	return n
}

func (r *reader) octets(what string) []byte {
	return r.element(tagOctets, what).Bytes
}

func (r *reader) algorithm(what string) (a algorithm) {
	seq := r.into(tagSequence, what)
	a.oid = seq.oid(what)
	if seq.more() {
		a.parameters = seq.any(what).FullBytes
	}
	seq.end(what)
	return a
}

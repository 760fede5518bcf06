package ca

import (
	"time"
)

// soon is the first of the agent's warnings before a certificate ends.
const soon = 30 * day

// Summary is an authority with what it has issued, in the order of issue.
type Summary struct {
	Dir          string    `json:"dir"`
	Name         string    `json:"name"`
	Serial       string    `json:"serial"`
	Fingerprint  string    `json:"fingerprint"` // SHA-256 of the certificate, hex
	NotAfter     time.Time `json:"not_after"`
	DaysLeft     int       `json:"days_left"` // negative: ended
	State        string    `json:"state"`     // valid, ends soon, expired
	CRLNumber    int64     `json:"crl_number"`
	DenyNumber   int64     `json:"deny_number"`
	Certificates []Issued  `json:"certificates"`
}

// Issued is a certificate as it stands now.
type Issued struct {
	Entry
	DaysLeft int    `json:"days_left"` // negative: ended
	State    string `json:"state"`     // valid, ends soon, expired, revoked
}

// Summary needs no key.
func (a *Authority) Summary() (*Summary, error) {
	r, err := readRecord(a.dir)
	if err != nil {
		return nil, err
	}
	root, now := entryOf(a.Certificate), a.now()
	s := &Summary{
		Dir: a.dir, Name: root.Name, Serial: root.Serial, Fingerprint: root.Fingerprint, NotAfter: root.NotAfter,
		DaysLeft: daysLeft(root.NotAfter, now), State: root.state(now),
		CRLNumber: r.CRLNumber, DenyNumber: r.DenyNumber, Certificates: make([]Issued, 0, len(r.Certificates)),
	}
	for _, e := range r.Certificates {
		s.Certificates = append(s.Certificates, Issued{Entry: e, DaysLeft: daysLeft(e.NotAfter, now), State: e.state(now)})
	}
	return s, nil
}

// daysLeft counts whole days: 0 on the last one, -1 on the first after the end.
func daysLeft(end, now time.Time) int {
	left := end.Sub(now)
	if left < 0 {
		return int(left/day) - 1
	}
	return int(left / day)
}

func (e Entry) state(now time.Time) string {
	switch {
	case !e.Revoked.IsZero():
		return "revoked"
	case now.After(e.NotAfter):
		return "expired"
	case e.NotAfter.Sub(now) < soon:
		return "ends soon"
	}
	return "valid"
}

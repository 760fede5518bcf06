package relay

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/edgehold/edgehold/agent/wire"
	"github.com/edgehold/edgehold/buffer/custody"
	"github.com/edgehold/edgehold/sign/mtls"
)

// importAhead is how many blocks wait for their commit together.
const importAhead = 64

// ErrNoRoom says that the store takes no more for now.
var ErrNoRoom = errors.New("the relay's store takes no more of this site: raise relay.site_quota or buffer.max_size, or wait until it has sent some, and import the archive again")

// Custody is what an import needs of the relay's store.
type Custody interface {
	Put(b custody.Block) *custody.Ticket
}

// Import is an archive of blocks that is taken in by hand.
type Import struct {
	Store Custody
	Roots *x509.CertPool // of the sites' certificates
	// Unsigned takes archives for which nobody vouches.
	Unsigned bool
	Now      time.Time
}

// Imported is what came of an archive. A second import of the same one finds
// all blocks known.
type Imported struct {
	Site   string `json:"site"`
	Number int64  `json:"number"`
	Signer string `json:"signer,omitempty"` // "": nobody vouched for it
	Blocks int64  `json:"blocks"`
	Points int64  `json:"points"`
	New    int64  `json:"points_new"`
	Known  int64  `json:"points_known"` // of blocks that were taken before
}

// Run checks the whole archive before it takes any of it. What it has taken
// when an error comes stays; the same archive can be imported again.
func (i Import) Run(ctx context.Context, archive io.ReadSeeker) (Imported, error) {
	res, err := i.check(archive)
	if err != nil {
		return res, err
	}
	if _, err := archive.Seek(0, io.SeekStart); err != nil {
		return res, fmt.Errorf("read the archive again: %w", err)
	}
	t := taking{ctx: ctx, result: &res}
	_, _, err = wire.ReadArchive(archive, func(h wire.Header, block []byte) error {
		return t.add(h, i.Store.Put(blockOf(h, block)))
	})
	if err == nil {
		err = t.settle(0)
	}
	return res, err
}

// check reads every block and whose archive it is.
func (i Import) check(archive io.Reader) (Imported, error) {
	reader := wire.NewReader()
	head, end, err := wire.ReadArchive(archive, func(h wire.Header, block []byte) error {
		if h.Kind != wire.Points || !h.Local {
			return fmt.Errorf("block %d of the archive is none that an export writes", h.Seq)
		}
		points, err := reader.Points(block, nil)
		if err != nil {
			return fmt.Errorf("block %d of the archive: %w", h.Seq, err)
		}
		return checkSite(h.Site, points)
	})
	res := Imported{Site: head.Site, Number: head.Number, Blocks: end.Blocks, Points: end.Points}
	if err != nil {
		return res, err
	}
	if len(end.Signature) == 0 {
		if !i.Unsigned {
			return res, fmt.Errorf("nobody vouches for the archive of site %s: export it with the site's certificate, or say --unsigned", head.Site)
		}
		return res, nil
	}
	v := mtls.Voucher{Certificates: end.Certificates, Signature: end.Signature}
	leaf, err := v.Check(i.Roots, wire.ArchiveText(end.Digest), i.Now)
	if err != nil {
		return res, fmt.Errorf("the archive of site %s: %w", head.Site, err)
	}
	if res.Signer = leaf.Subject.CommonName; res.Signer != head.Site {
		return res, fmt.Errorf("the archive is of site %s, but %q has signed it", head.Site, res.Signer)
	}
	return res, nil
}

// blockOf is a block as the store takes it. The archive's reader uses its memory
// again.
func blockOf(h wire.Header, block []byte) custody.Block {
	return custody.Block{
		Site: h.Site, Epoch: h.Epoch, Seq: h.Seq, Kind: uint8(h.Kind), Lane: uint8(h.Lane), Points: h.Count,
		First: h.First, Last: h.Last, Data: append([]byte(nil), block...),
	}
}

// taking is blocks on their way to the disk.
type taking struct {
	ctx     context.Context
	result  *Imported
	waiting []*custody.Ticket
	points  []int64
}

func (t *taking) add(h wire.Header, ticket *custody.Ticket) error {
	t.waiting, t.points = append(t.waiting, ticket), append(t.points, int64(h.Count))
	return t.settle(importAhead)
}

// settle waits until at most so many blocks are on their way.
func (t *taking) settle(most int) error {
	for len(t.waiting) > most {
		res, err := t.waiting[0].Wait(t.ctx)
		if err != nil {
			return fmt.Errorf("import the archive: %w", err)
		}
		switch res.Status {
		case custody.Stored:
			t.result.New += t.points[0]
		case custody.Duplicate, custody.Done:
			t.result.Known += t.points[0]
		default:
			return ErrNoRoom
		}
		t.waiting, t.points = t.waiting[1:], t.points[1:]
	}
	return nil
}

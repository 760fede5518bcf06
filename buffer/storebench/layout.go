package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"go.etcd.io/bbolt"

	"github.com/edgehold/edgehold/buffer"
	"github.com/edgehold/edgehold/probes"
)

// layout is a way to keep points. Settlements ride in the next Append.
type layout interface {
	// Append makes the points of one poll durable.
	Append(points []probes.Point) error
	// Take reads up to most of the oldest points and settles them; 0: there are none.
	Take(most int) (int, error)
	// Flush makes the settlements durable.
	Flush() error
	// Size is the bytes in use and those of the file.
	Size() (used, file int64, err error)
	Close() error
}

// The layouts by name.
const (
	layoutStore    = "store"
	layoutLines    = "bbolt, a line a key"
	layoutBySeries = "bbolt, a point a key, series first"
	layoutByTime   = "bbolt, a point a key, time first"
	layoutLog      = "append log of the store's bytes"
)

func openLayout(t trial, check *verifier) (layout, error) {
	switch t.Layout {
	case layoutStore:
		return openStore(t, check)
	case layoutLog:
		return openLog(t)
	case layoutLines, layoutBySeries, layoutByTime:
		return openNaive(t)
	}
	return nil, fmt.Errorf("layout %q is not known", t.Layout)
}

const fileName = "bench.db"

func fileSize(path string) (int64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// product is the store, through what it exports.
type product struct {
	store *buffer.Store
	check *verifier
	now   atomic.Int64 // Unix milliseconds
	empty int64        // bytes in use before the first point
}

func openStore(t trial, check *verifier) (*product, error) {
	p := &product{check: check}
	p.now.Store(t.at())
	var err error
	p.store, err = buffer.Open(buffer.Options{
		Path: filepath.Join(t.Disk.Dir, fileName), Window: t.Window, Log: zerolog.Nop(),
		Now: func() time.Time { return time.UnixMilli(p.now.Load()) },
	})
	if err != nil {
		return nil, err
	}
	if p.store.Account().Accepted == 0 {
		p.empty = p.store.Stat().UsedBytes
	}
	return p, nil
}

func (p *product) Append(points []probes.Point) error {
	if n := len(points); n > 0 {
		p.now.Store(points[n-1].Stamp.Wall)
	}
	return p.store.Append(context.Background(), points)
}

func (p *product) Take(most int) (int, error) {
	l, err := p.store.Lease(buffer.Query{Max: most})
	if l == nil || err != nil {
		return 0, err
	}
	if err := p.check.points(l.Points); err != nil {
		return 0, err
	}
	return len(l.Points), p.store.Settle(l, []buffer.Settlement{{Outcome: buffer.Delivered}})
}

func (p *product) Flush() error { return p.store.Append(context.Background(), nil) }

func (p *product) Size() (used, file int64, err error) {
	st := p.store.Stat()
	return st.UsedBytes - p.empty, st.FileBytes, nil
}

func (p *product) Close() error {
	return errors.Join(p.store.Account().Check(), p.store.Close())
}

// naive keeps each point under a key of its own.
type naive struct {
	db      *bbolt.DB
	layout  string
	numbers map[*probes.Series]uint32
	next    uint64
	settled [][]byte
	buffer  []byte
}

var naiveBucket = []byte("points")

const naivePage = 4096

func openNaive(t trial) (*naive, error) {
	db, err := bbolt.Open(filepath.Join(t.Disk.Dir, fileName), 0o600, &bbolt.Options{
		NoFreelistSync: true, FreelistType: bbolt.FreelistMapType, PageSize: naivePage, InitialMmapSize: 1 << 30,
	})
	if err != nil {
		return nil, err
	}
	db.AllocSize = 1 << 20
	n := &naive{db: db, layout: t.Layout, numbers: map[*probes.Series]uint32{}}
	return n, n.update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(naiveBucket)
		return err
	})
}

func (n *naive) update(fn func(tx *bbolt.Tx) error) error { return n.db.Update(fn) }

func (n *naive) Append(points []probes.Point) error {
	return n.update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(naiveBucket)
		if n.layout != layoutBySeries {
			b.FillPercent = 0.9
		}
		for _, p := range points {
			key, value := n.entry(p)
			if err := b.Put(key, value); err != nil {
				return err
			}
		}
		return n.delete(b)
	})
}

func (n *naive) entry(p probes.Point) (key, value []byte) {
	if n.layout == layoutLines {
		n.next++
		return binary.BigEndian.AppendUint64(nil, n.next), line(p)
	}
	id, ok := n.numbers[p.Series]
	if !ok {
		id = uint32(len(n.numbers))
		n.numbers[p.Series] = id
	}
	if n.layout == layoutBySeries {
		key = binary.BigEndian.AppendUint32(nil, id)
	}
	key = binary.BigEndian.AppendUint64(key, uint64(p.Stamp.Wall))
	if n.layout == layoutByTime {
		key = binary.BigEndian.AppendUint32(key, id)
	}
	return key, binary.BigEndian.AppendUint64(nil, bits(p.Value))
}

func bits(v probes.Value) uint64 {
	switch v.Form() {
	case probes.FormInt:
		return uint64(v.Int64())
	case probes.FormUint:
		return v.Uint64()
	}
	return math.Float64bits(v.Float64())
}

// line is the point as it would be sent.
func line(p probes.Point) []byte {
	out := []byte(p.Series.Key())
	for _, d := range p.Series.Dims() {
		out = fmt.Appendf(out, ",%s=%q", d.Key, d.Value)
	}
	if p.Series.Type() == probes.Count {
		return fmt.Appendf(out, " count,delta=%d %d", p.Value.Uint64(), p.Stamp.Wall)
	}
	return fmt.Appendf(out, " gauge,%v %d", p.Value.Float64(), p.Stamp.Wall)
}

func (n *naive) delete(b *bbolt.Bucket) error {
	for _, key := range n.settled {
		if err := b.Delete(key); err != nil {
			return err
		}
	}
	n.settled = n.settled[:0]
	return nil
}

func (n *naive) Take(most int) (int, error) {
	if err := n.Flush(); err != nil {
		return 0, err
	}
	err := n.db.View(func(tx *bbolt.Tx) error {
		c := tx.Bucket(naiveBucket).Cursor()
		for k, v := c.First(); k != nil && len(n.settled) < most; k, v = c.Next() {
			n.settled = append(n.settled, append([]byte(nil), k...))
			n.buffer = append(n.buffer[:0], v...)
		}
		return nil
	})
	return len(n.settled), err
}

func (n *naive) Flush() error {
	if len(n.settled) == 0 {
		return nil
	}
	return n.update(func(tx *bbolt.Tx) error { return n.delete(tx.Bucket(naiveBucket)) })
}

func (n *naive) Size() (used, file int64, err error) {
	err = n.db.View(func(tx *bbolt.Tx) error {
		st := n.db.Stats()
		used = tx.Size() - int64(st.FreePageN+st.PendingPageN)*naivePage
		return nil
	})
	if err != nil {
		return 0, 0, err
	}
	file, err = fileSize(n.db.Path())
	return used, file, err
}

func (n *naive) Close() error { return n.db.Close() }

// appendLog writes as many bytes a poll as the store's records have, and a
// mark for each settlement: the least that any durable queue can do. It never
// gives space back and keeps no index.
type appendLog struct {
	file    *os.File
	record  []byte
	points  []int // of each record that is open
	settled bool
	mark    [16]byte
}

func openLog(t trial) (*appendLog, error) {
	f, err := os.OpenFile(filepath.Join(t.Disk.Dir, fileName), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	l := &appendLog{file: f, record: make([]byte, t.RecordBytes)}
	rand.New(rand.NewSource(1)).Read(l.record)
	return l, nil
}

func (l *appendLog) Append(points []probes.Point) error {
	l.points = append(l.points, len(points))
	if err := l.write(l.record); err != nil {
		return err
	}
	return fdatasync(l.file)
}

func (l *appendLog) write(record []byte) error {
	if l.settled {
		record = append(record[:len(record):len(record)], l.mark[:]...)
		l.settled = false
	}
	_, err := l.file.Write(record)
	return err
}

func (l *appendLog) Take(int) (int, error) {
	if len(l.points) == 0 {
		return 0, nil
	}
	size, err := fileSize(l.file.Name())
	if err != nil {
		return 0, err
	}
	at := max(size-int64(len(l.points)*len(l.record)), 0)
	if _, err := l.file.ReadAt(make([]byte, len(l.record)), at); err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	n := l.points[0]
	l.points, l.settled = l.points[1:], true
	return n, nil
}

func (l *appendLog) Flush() error {
	if err := l.write(nil); err != nil {
		return err
	}
	return fdatasync(l.file)
}

func (l *appendLog) Size() (used, file int64, err error) {
	file, err = fileSize(l.file.Name())
	return file, file, err
}

func (l *appendLog) Close() error { return l.file.Close() }

package drain

import (
	"bytes"
	"io"

	"github.com/klauspost/compress/gzip"
)

// packLevel is where metric lines of switches cost least for their size.
const packLevel = 8

const (
	// alike is how far metric lines are compressed at least that resemble each
	// other. Others are worth a search as well, if they are many: it takes a
	// megabyte of memory.
	alike = 20
	many  = 8 << 10 // bytes
)

// packer compresses one body after the other.
type packer struct {
	writer *gzip.Writer
	buffer bytes.Buffer
	weaver weaver
}

// pack gives the compressed body of a cargo. It holds until the next call.
func (p *packer) pack(c cargo, body []byte) []byte {
	if c != metrics {
		return p.gzip(body)
	}
	woven := p.weaver.gzip(body)
	if len(woven)*alike <= len(body) || len(body) < many {
		return woven
	}
	if searched := p.gzip(body); len(searched) < len(woven) {
		return searched
	}
	return woven
}

// gzip gives the compressed body. It holds until the next call.
func (p *packer) gzip(body []byte) []byte {
	if p.writer == nil {
		p.writer, _ = gzip.NewWriterLevel(io.Discard, packLevel) // the level is valid
	}
	p.buffer.Reset()
	p.writer.Reset(&p.buffer)
	_, _ = p.writer.Write(body) // a buffer takes everything
	_ = p.writer.Close()
	return p.buffer.Bytes()
}

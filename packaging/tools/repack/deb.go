package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

const (
	arMagic  = "!<arch>\n"
	arHeader = 60 // name 16, time 12, user 6, group 6, mode 8, size 10, end 2
)

// deb copies the members of an ar file and repacks the one with the files.
func (p packer) deb(in []byte) ([]byte, error) {
	if !strings.HasPrefix(string(in), arMagic) {
		return nil, errors.New("not an ar file")
	}
	out := []byte(arMagic)
	found := false
	for rest := in[len(arMagic):]; len(rest) > 0; {
		if len(rest) < arHeader {
			return nil, errors.New("the ar file ends within a header")
		}
		header := string(rest[:arHeader])
		size, err := strconv.Atoi(strings.TrimSpace(header[48:58]))
		if err != nil || size < 0 || arHeader+size > len(rest) {
			return nil, fmt.Errorf("the ar file has a member of %q bytes", header[48:58])
		}
		member := rest[arHeader : arHeader+size]
		rest = rest[min(len(rest), arHeader+size+size%2):]
		if strings.TrimRight(header[:16], " /") == "data.tar.xz" {
			found = true
			if member, err = p.again(member); err != nil {
				return nil, err
			}
		}
		out = fmt.Appendf(out, "%s%-10d%s", header[:48], len(member), header[58:])
		out = append(out, member...)
		if len(member)%2 == 1 {
			out = append(out, '\n')
		}
	}
	if !found {
		return nil, errors.New("no data.tar.xz in it")
	}
	return out, nil
}

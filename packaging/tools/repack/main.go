// Command repack compresses what .deb and .rpm files hold anew, with the program
// xz: nfpm's own form of it comes out a fifth larger.
//
//	repack GOARCH FILE     FILE is replaced
package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: repack GOARCH FILE")
		os.Exit(2)
	}
	if err := repack(packer(os.Args[1]), os.Args[2]); err != nil {
		fmt.Fprintf(os.Stderr, "repack %s: %v\n", os.Args[2], err)
		os.Exit(1)
	}
}

func repack(pack packer, file string) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var out []byte
	switch {
	case strings.HasSuffix(file, ".deb"):
		out, err = pack.deb(content)
	case strings.HasSuffix(file, ".rpm"):
		out, err = pack.rpm(content)
	default:
		err = errors.New("neither .deb nor .rpm")
	}
	if err != nil {
		return err
	}
	return os.WriteFile(file, out, 0o644)
}

// packer is the kind of machine whose program is in the files.
type packer string

// again takes what is compressed by xz and compresses it better. Level 6 has a
// dictionary of 8 MB, which is what a small machine needs in memory to unpack it.
// The filter for x86 makes jumps alike and saves a twentieth; that for arm64 is too
// young for the machines that are to unpack it.
func (p packer) again(compressed []byte) ([]byte, error) {
	plain, err := xz(compressed, "--decompress")
	if err != nil {
		return nil, err
	}
	args := []string{"--threads=1", "--lzma2=preset=6e"}
	if p == "amd64" || p == "386" {
		args = []string{"--threads=1", "--x86", "--lzma2=preset=6e"}
	}
	return xz(plain, args...)
}

func xz(in []byte, args ...string) ([]byte, error) {
	cmd := exec.Command("xz", append(args, "--stdout")...)
	var out, complaints bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(in), &out, &complaints
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("run xz: %w: %s", err, complaints.String())
	}
	return out.Bytes(), nil
}

// Command repack compresses what .deb and .rpm files hold anew, with the program
// xz: nfpm's own form of it comes out a fifth larger. The files named are
// replaced.
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
	for _, file := range os.Args[1:] {
		if err := repack(file); err != nil {
			fmt.Fprintf(os.Stderr, "repack %s: %v\n", file, err)
			os.Exit(1)
		}
	}
}

func repack(file string) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var out []byte
	switch {
	case strings.HasSuffix(file, ".deb"):
		out, err = repackDeb(content)
	case strings.HasSuffix(file, ".rpm"):
		out, err = repackRPM(content)
	default:
		err = errors.New("neither .deb nor .rpm")
	}
	if err != nil {
		return err
	}
	return os.WriteFile(file, out, 0o644)
}

// again takes what is compressed by xz and compresses it better. Level 6 has a
// dictionary of 8 MB, which is what a small machine needs in memory to unpack it.
func again(compressed []byte) ([]byte, error) {
	plain, err := xz(compressed, "--decompress")
	if err != nil {
		return nil, err
	}
	return xz(plain, "-6", "--extreme", "--threads=1")
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

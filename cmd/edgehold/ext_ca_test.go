package main

import (
	"os/exec"
	"testing"
)

// TestShellWord lets a shell read the words.
func TestShellWord(t *testing.T) {
	for _, text := range []string{"/etc/edgehold", "", "a b", "it's", "$HOME `id` \"x\" \\", "~", "ä", "-n", "a\nb", "*"} {
		word := shellWord(text)
		if out, err := exec.Command("sh", "-c", "printf -- %s "+word).CombinedOutput(); err != nil || string(out) != text {
			t.Errorf("%q is %s, which the shell reads as %q (%v)", text, word, out, err)
		}
	}
}

package main

import (
	"errors"
	"testing"
)

func TestMemoryLimit(t *testing.T) {
	for _, c := range []struct {
		env   string
		bound int64
		err   error
		want  int64
	}{
		{"", 100 << 20, nil, 80 << 20},
		{"", 0, nil, 0},
		{"", 100, errors.New("unreadable"), 0},
		{"30MiB", 100 << 20, nil, 0},
		{"off", 100 << 20, nil, 0},
	} {
		env := func(key string) string { return map[string]string{"GOMEMLIMIT": c.env}[key] }
		if got := memoryLimit(env, func() (int64, error) { return c.bound, c.err }); got != c.want {
			t.Errorf("%+v: got %d", c, got)
		}
	}
}

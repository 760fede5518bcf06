package board

import (
	"testing"
	"testing/fstest"
)

func TestMemoryMax(t *testing.T) {
	for _, c := range []struct {
		name  string
		files map[string]string
		want  int64
	}{
		{"no control groups", nil, 0},
		{"no bound", map[string]string{"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "max\n"}, 0},
		{"its own", map[string]string{"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "268435456\n", "sys/fs/cgroup/a/memory.max": "max\n"}, 256 << 20},
		{"the one above", map[string]string{"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "268435456\n", "sys/fs/cgroup/a/memory.max": "67108864\n"}, 64 << 20},
		{"a container sees its own as the root", map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "67108864\n"}, 64 << 20},
		{"version 1", map[string]string{"proc/self/cgroup": "9:cpu,cpuacct:/x\n5:memory:/a\n0::/\n", "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "134217728\n"}, 128 << 20},
		{"version 1 without a bound", map[string]string{"proc/self/cgroup": "5:memory:/a\n", "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "9223372036854771712\n"}, 0},
		{"of another controller", map[string]string{"proc/self/cgroup": "9:cpu:/a\n", "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "1\n"}, 0},
		{"nonsense", map[string]string{"proc/self/cgroup": "what\n0::../../../x\n", "sys/fs/cgroup/x/memory.max": "-5\n"}, 0},
	} {
		root := fstest.MapFS{}
		for name, text := range c.files {
			root[name] = &fstest.MapFile{Data: []byte(text)}
		}
		if got, err := memoryMax(root); err != nil || got != c.want {
			t.Errorf("%s: got %d, %v; want %d", c.name, got, err, c.want)
		}
	}
	if _, err := MemoryMax(); err != nil {
		t.Error(err)
	}
}

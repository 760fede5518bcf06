package board

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
)

const statusPath = "/proc/self/status"

// Memory is what this process holds of the machine's memory, in bytes.
type Memory struct {
	RSS  int64 // resident now, file pages included
	Peak int64 // the most that was ever resident
	Anon int64 // resident now and not backed by a file
}

// ResidentMemory reads what the kernel says of this process.
func ResidentMemory() (Memory, error) { return readMemory(statusPath) }

func readMemory(path string) (Memory, error) {
	f, err := os.Open(path)
	if err != nil {
		return Memory{}, fmt.Errorf("read memory use: %w", err)
	}
	defer f.Close()
	var m Memory
	fields := map[string]*int64{"VmRSS": &m.RSS, "VmHWM": &m.Peak, "RssAnon": &m.Anon}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		name, rest, _ := strings.Cut(lines.Text(), ":")
		field := fields[name]
		if field == nil {
			continue
		}
		if *field, err = parseKilobytes(rest); err != nil {
			return Memory{}, fmt.Errorf("read memory use: %s: %s: %w", path, name, err)
		}
		delete(fields, name)
	}
	if err := lines.Err(); err != nil {
		return Memory{}, fmt.Errorf("read memory use: %s: %w", path, err)
	}
	for _, name := range []string{"VmRSS", "VmHWM", "RssAnon"} {
		if fields[name] != nil {
			return Memory{}, fmt.Errorf("read memory use: %s has no %s", path, name)
		}
	}
	return m, nil
}

// parseKilobytes turns the kernel's "   1760 kB" into bytes.
func parseKilobytes(text string) (int64, error) {
	digits, ok := strings.CutSuffix(strings.TrimSpace(text), " kB")
	n, err := strconv.ParseUint(digits, 10, 53)
	if !ok || err != nil {
		return 0, fmt.Errorf("%q is not a number of kB", text)
	}
	return int64(n) * 1024, nil
}

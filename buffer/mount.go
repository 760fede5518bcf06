package buffer

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// warn looks for what makes the file less safe than it should be, once.
func (s *Store) warn() {
	folder, err := filepath.Abs(filepath.Dir(s.o.Path))
	if err != nil {
		return
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err == nil {
		s.stat.Warnings = mountWarnings(folder, string(mounts), fastCommit)
	}
	if math.MaxInt == math.MaxInt32 && s.o.MaxSize > 512<<20 {
		s.stat.Warnings = append(s.stat.Warnings, "max_size is above 512 MiB on a 32-bit machine, whose address space may not hold the file: lower it")
	}
	for _, w := range s.stat.Warnings {
		s.o.Log.Warn().Str("path", s.o.Path).Msg("buffer: " + w)
	}
}

// mountWarnings reads the line of the mount that a folder is on
// (proc_pid_mountinfo(5)).
func mountWarnings(folder, mountinfo string, fastCommit func(device string) bool) []string {
	var at, kind, device string
	var options []string
	for line := range strings.Lines(mountinfo) {
		fields := strings.Fields(line)
		dash := slices.Index(fields, "-")
		if dash < 6 || len(fields) < dash+4 {
			continue
		}
		if point := unescape(fields[4]); isIn(folder, point) && len(point) >= len(at) {
			at, kind, device = point, fields[dash+1], fields[2]
			options = strings.Split(fields[5]+","+fields[dash+3], ",")
		}
	}
	var out []string
	switch {
	case kind == "tmpfs" || kind == "ramfs":
		out = append(out, fmt.Sprintf("%s is on %s, in memory: points are lost when the machine stops; set state_dir to a disk", folder, kind))
	case slices.Contains(options, "barrier=0") || slices.Contains(options, "nobarrier"):
		out = append(out, fmt.Sprintf("%s is mounted without barriers: a power cut will destroy the file; mount %s with barrier=1", folder, at))
	}
	if kind == "ext4" && (slices.Contains(options, "fast_commit") || fastCommit(device)) {
		out = append(out, fmt.Sprintf("%s has the ext4 feature fast_commit, with which a power cut may destroy files: tune2fs -O ^fast_commit", at))
	}
	return out
}

func isIn(folder, point string) bool {
	return point == "/" || folder == point || strings.HasPrefix(folder, point+"/")
}

// unescape undoes the octal escapes of mountinfo.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// fastCommit looks in the options that the kernel shows for a mounted ext4.
func fastCommit(device string) bool {
	var major, minor uint32
	if _, err := fmt.Sscanf(device, "%d:%d", &major, &minor); err != nil {
		return false
	}
	link, err := os.Readlink(fmt.Sprintf("/sys/dev/block/%d:%d", major, minor))
	if err != nil {
		return false
	}
	text, err := os.ReadFile(filepath.Join("/proc/fs/ext4", filepath.Base(link), "options"))
	return err == nil && slices.Contains(strings.Fields(string(text)), "fast_commit")
}

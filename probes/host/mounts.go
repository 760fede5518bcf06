package host

import (
	"cmp"
	"slices"
	"sort"
	"strings"
)

// mount is a line of /proc/self/mountinfo.
type mount struct {
	device   string // major:minor
	root     string // what of the file system is mounted
	point    string // where
	kind     string // ext4
	source   string // /dev/mmcblk0p2
	readOnly bool   // the whole file system, not this mount of it alone
}

// pseudo are the kinds that have no storage of their own, or none that fills up.
const pseudo = " autofs binfmt_misc bpf cgroup cgroup2 configfs debugfs devpts devtmpfs efivarfs erofs fuse.lxcfs fuse.snapfuse fuse.portal fusectl " +
	"hugetlbfs iso9660 mqueue nsfs overlay proc pstore ramfs rootfs rpc_pipefs securityfs selinuxfs squashfs sysfs tmpfs tracefs "

// maxMounts bounds what one poll asks.
const maxMounts = 200

// parseMount reads a line.
func parseMount(line string) (m mount, ok bool) {
	fields := strings.Fields(line)
	dash := slices.Index(fields, "-")
	if dash < 6 || len(fields) < dash+3 {
		return m, false
	}
	m = mount{
		device: fields[2], root: unescape(fields[3]), point: unescape(fields[4]),
		kind: unescape(fields[dash+1]), source: unescape(fields[dash+2]),
	}
	if len(fields) > dash+3 {
		m.readOnly = slices.Contains(strings.Split(fields[dash+3], ","), "ro")
	}
	return m, strings.HasPrefix(m.point, "/")
}

// unescape puts back what the kernel writes as \040.
func unescape(text string) string {
	if !strings.Contains(text, `\`) {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' && i+3 < len(text) && octal(text[i+1:i+4]) {
			b.WriteByte((text[i+1]-'0')<<6 | (text[i+2]-'0')<<3 | (text[i+3] - '0'))
			i += 3
			continue
		}
		b.WriteByte(text[i])
	}
	return b.String()
}

func octal(text string) bool { return strings.Trim(text, "01234567") == "" && text[0] < '4' }

// chooseMounts leaves one mount of each file system that has storage: the one of
// its root, or else with the shortest path. What is hidden by a later mount at the
// same path is left out.
func chooseMounts(text string) []mount {
	at := map[string]int{}
	var all []mount
	lines(text, func(line string) bool {
		m, ok := parseMount(line)
		if !ok {
			return true
		}
		if i, again := at[m.point]; again {
			all[i] = m
			return true
		}
		at[m.point] = len(all)
		all = append(all, m)
		return true
	})
	best := map[string]int{}
	var chosen []mount
	for _, m := range all {
		if m.hasNoStorage() {
			continue
		}
		i, again := best[m.device]
		if !again {
			best[m.device] = len(chosen)
			chosen = append(chosen, m)
		} else if better(m, chosen[i]) {
			chosen[i] = m
		}
	}
	sort.Slice(chosen, func(i, j int) bool { return chosen[i].point < chosen[j].point })
	return chosen[:min(len(chosen), maxMounts)]
}

// hasNoStorage tells of what is no storage, or not this machine's: containers are
// handed /etc/hosts and others of their host.
func (m *mount) hasNoStorage() bool {
	if m.kind == "overlay" && m.point == "/" {
		return false
	}
	return strings.Contains(pseudo, " "+m.kind+" ") || m.root != "/" && strings.HasPrefix(m.point, "/etc/")
}

func better(a, b mount) bool {
	if whole := a.root == "/"; whole != (b.root == "/") {
		return whole
	}
	return cmp.Or(cmp.Compare(len(a.point), len(b.point)), strings.Compare(a.point, b.point)) < 0
}

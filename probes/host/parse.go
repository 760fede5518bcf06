package host

import (
	"strconv"
	"strings"
)

// The modes of a processor, in the order of /proc/stat.
const (
	modeUser = iota
	modeNice
	modeSystem
	modeIdle
	modeIOWait
	modeIRQ
	modeSoftIRQ
	modeSteal
	modeCount
)

var modeNames = [modeCount]string{"user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"}

// times are what a processor has spent in each mode since boot, in ticks. What
// guests got is in user and nice.
type times [modeCount]uint64

// stat is /proc/stat, as far as it is of use.
type stat struct {
	all     times
	cores   []core
	blocked uint64 // threads
}

type core struct {
	number string
	times
}

// lines calls each with every line, until it returns false.
func lines(text string, each func(line string) bool) {
	for text != "" {
		line, rest, _ := strings.Cut(text, "\n")
		if !each(line) {
			return
		}
		text = rest
	}
}

// word cuts the first word off a line.
func word(line string) (first, rest string) {
	line = strings.TrimLeft(line, " \t")
	end := strings.IndexAny(line, " \t")
	if end < 0 {
		return line, ""
	}
	return line[:end], line[end:]
}

// numbers reads whole numbers up to the first word that is none, and tells how
// many there were.
func numbers(line string, into []uint64) int {
	for i := range into {
		var w string
		w, line = word(line)
		n, err := strconv.ParseUint(w, 10, 64)
		if err != nil {
			return i
		}
		into[i] = n
	}
	return len(into)
}

// parseStat reads /proc/stat, false where it has no processors. Old kernels have
// fewer modes.
func parseStat(text string) (s stat, ok bool) {
	lines(text, func(line string) bool {
		name, rest := word(line)
		number, isCPU := strings.CutPrefix(name, "cpu")
		switch {
		case isCPU && number == "":
			ok = numbers(rest, s.all[:]) >= modeIOWait
		case isCPU:
			c := core{number: number}
			if numbers(rest, c.times[:]) >= modeIOWait && isNumber(number) {
				s.cores = append(s.cores, c)
			}
		case name == "procs_blocked":
			var n [1]uint64
			numbers(rest, n[:])
			s.blocked = n[0]
			return false // it stands at the end
		}
		return true
	})
	return s, ok
}

func isNumber(text string) bool { return text != "" && strings.Trim(text, "0123456789") == "" }

// shares are the parts of the time between two readings, in percent of it. They
// add up to 100. false: no time has passed.
func (t times) shares(before times) (shares [modeCount]float64, ok bool) {
	var total float64
	for i := range t {
		if t[i] > before[i] { // the time of waiting may go back a little
			shares[i] = float64(t[i] - before[i])
			total += shares[i]
		}
	}
	if total == 0 {
		return shares, false
	}
	for i := range shares {
		shares[i] *= 100 / total
	}
	return shares, true
}

// busy is the part in which a processor worked.
func busy(shares [modeCount]float64) float64 {
	return min(max(0, 100-shares[modeIdle]-shares[modeIOWait]), 100)
}

// parseFields reads a file of lines with a name and a number: /proc/meminfo in
// bytes, /proc/vmstat. What is not in want is left out.
func parseFields(text string, want map[string]*uint64) {
	lines(text, func(line string) bool {
		name, rest := word(line)
		to := want[strings.TrimSuffix(name, ":")]
		if to == nil {
			return true
		}
		number, unit := word(rest)
		n, err := strconv.ParseUint(number, 10, 64)
		if err != nil {
			return true
		}
		if unit, _ := word(unit); unit == "kB" && n < 1<<54 {
			n <<= 10
		}
		*to = n
		return true
	})
}

// parsePressure reads a file of /proc/pressure: the microseconds in which some, or
// all, tasks waited. false: there is no such line.
func parsePressure(text, kind string) (total uint64, ok bool) {
	lines(text, func(line string) bool {
		first, rest := word(line)
		if first != kind {
			return true
		}
		_, number, found := strings.Cut(rest, "total=")
		n, err := strconv.ParseUint(strings.TrimSpace(number), 10, 64)
		total, ok = n, found && err == nil
		return false
	})
	return total, ok
}

// diskTimes is what a disk has done since boot.
type diskTimes struct {
	reads, sectorsRead, writes, sectorsWritten uint64
	busy                                       uint64 // milliseconds, 32 bits of them
}

// parseDisk reads a line of /proc/diskstats.
func parseDisk(line string) (name string, t diskTimes, ok bool) {
	var n [10]uint64
	_, line = word(line)
	_, line = word(line)
	name, line = word(line)
	if numbers(line, n[:]) < len(n) {
		return name, t, false // a partition, on old kernels
	}
	return name, diskTimes{reads: n[0], sectorsRead: n[2], writes: n[4], sectorsWritten: n[6], busy: n[9]}, name != ""
}

// traffic is what an interface has carried.
type traffic struct {
	bytesIn, packetsIn, errorsIn, droppedIn     uint64
	bytesOut, packetsOut, errorsOut, droppedOut uint64
}

// parseInterface reads a line of /proc/net/dev. A name may stand right before its
// first number.
func parseInterface(line string) (name string, t traffic, ok bool) {
	name, rest, found := strings.Cut(line, ":")
	// An alias has a colon of its own, as in eth0:1.
	if alias, more, is := strings.Cut(rest, ":"); is && isNumber(alias) {
		name, rest = name+":"+alias, more
	}
	name = strings.TrimSpace(name)
	var n [16]uint64
	if !found || name == "" || strings.ContainsAny(name, " \t") || numbers(rest, n[:]) < len(n) {
		return name, t, false
	}
	return name, traffic{
		bytesIn: n[0], packetsIn: n[1], errorsIn: n[2], droppedIn: n[3],
		bytesOut: n[8], packetsOut: n[9], errorsOut: n[10], droppedOut: n[11],
	}, true
}

// parseLoad reads /proc/loadavg.
func parseLoad(text string) (loads [3]float64, running, total uint64, ok bool) {
	var w string
	for i := range loads {
		w, text = word(text)
		f, err := strconv.ParseFloat(w, 64)
		if err != nil || !(f >= 0 && f < 1e9) {
			return loads, 0, 0, false
		}
		loads[i] = f
	}
	w, _ = word(text)
	some, all, _ := strings.Cut(w, "/")
	var errs [2]error
	running, errs[0] = strconv.ParseUint(some, 10, 64)
	total, errs[1] = strconv.ParseUint(all, 10, 64)
	return loads, running, total, errs[0] == nil && errs[1] == nil
}

// parseProcess reads /proc/self/stat: processor time in ticks, threads and pages
// of resident memory. The name of the program may hold anything.
func parseProcess(text string) (ticks, threads, pages uint64, ok bool) {
	end := strings.LastIndexByte(text, ')')
	if end < 0 {
		return 0, 0, 0, false
	}
	fields := strings.Fields(text[end+1:])
	if len(fields) < 22 {
		return 0, 0, 0, false
	}
	var n [4]uint64
	for i, at := range []int{11, 12, 17, 21} { // fields 14, 15, 20 and 24
		var err error
		if n[i], err = strconv.ParseUint(fields[at], 10, 64); err != nil {
			return 0, 0, 0, false
		}
	}
	return n[0] + n[1], n[2], n[3], true
}

// parseLife reads the life time of an eMMC: of its two kinds of memory how much is
// used, in percent, at most. 0: not told.
func parseLife(text string) (used [2]uint64) {
	for i := range used {
		var w string
		w, text = word(strings.TrimRight(text, "\n"))
		n, err := strconv.ParseUint(strings.TrimPrefix(w, "0x"), 16, 8)
		if err == nil && n <= 11 {
			used[i] = 10 * n // 11 is over 100
		}
	}
	return used
}

// growth is how much a counter grew, false where that cannot be told. A narrow
// one has 32 bits and goes round.
func growth(now, before uint64, narrow bool) (uint64, bool) {
	const round = 1 << 32
	switch {
	case now >= before:
		return now - before, true
	case narrow && before < round && now+round-before < round/2: // else it has begun anew
		return now + round - before, true
	}
	return 0, false
}

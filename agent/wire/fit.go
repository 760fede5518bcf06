package wire

import "fmt"

// fill is how many fitted into a block, and how large it was.
type fill struct{ count, size int }

// history is the block of the same sort before. Short says that more would have
// followed but did not fit, though the block was not full: its size tells
// nothing then.
type history struct {
	fill
	short bool
}

// job is a block to be made.
type job struct {
	total int // of what could go in
	most  int // bytes
	guess int // how many may fit, where past does not know
	past  *history
	// try makes a block of the first n, in Writer.work, and tells its size; one
	// above most where it does not fit. It tells a lower count where no more
	// than so many can go in.
	try func(n int) (fill, error)
}

// maxTries bounds how often a block is made to find how many fit. What is
// tried after that is only to find any that fit at all, half as many each time.
const maxTries = 4

// fit looks for how many fit and leaves their block in Writer.best. It goes by
// the block before, so that it mostly tries once. A block that is full to seven
// eighths is full enough.
func (w *Writer) fit(j job) (taken int, err error) {
	n := j.first()
	before := *j.past
	var low, high fill // fits, does not fit
	for tries := 1; ; tries++ {
		got, err := j.try(n)
		if err != nil {
			return 0, err
		}
		if got.count < n {
			j.total = got.count
		}
		if got.size > j.most {
			high = got
		} else {
			low = got
			w.work, w.best = w.best, w.work
		}
		full := low.count == j.total || low.size >= j.most-j.most/8
		enough := low.count+1 == high.count || before.short && low.count >= before.count/2 || tries >= maxTries
		if low.count > 0 && (full || enough) {
			*j.past = history{low, !full}
			return low.count, nil
		}
		if high.count == 1 {
			return 0, &PointError{fmt.Errorf("it takes %d bytes with its names, more than the %d of a block", high.size, j.most)}
		}
		n = j.next(low, high)
		if tries >= maxTries {
			n = min(n, high.count/2)
		}
	}
}

// first is how many to try first.
func (j *job) first() int {
	if j.past.size == 0 {
		return min(j.total, max(j.guess, 1))
	}
	if j.past.short {
		return min(j.total, j.past.count+j.past.count/8+1)
	}
	return min(j.total, max(1, j.aim()*j.past.count/j.past.size))
}

// aim is the size that is hoped for: a little less than the most.
func (j *job) aim() int { return j.most - j.most/24 }

// next is how many to try after one that fits and one that does not; one of
// both may be missing. It goes along the line between both, or from nothing.
func (j *job) next(low, high fill) int {
	to := high
	if high.count == 0 {
		to, low = low, fill{}
	}
	n := low.count + (j.aim()-low.size)*(to.count-low.count)/max(1, to.size-low.size)
	if high.count == 0 {
		return min(j.total, max(n, to.count+1))
	}
	return min(max(n, low.count+1), high.count-1)
}

// tooMany is a size that fits nowhere, of points that have other limits.
const tooMany = 4 * MaxBlock

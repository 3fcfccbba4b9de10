package metrics

import (
	"cmp"
	"math"
	"math/bits"
	"slices"
	"sync/atomic"
	"time"

	"github.com/respgate/respgate/internal/bare"
)

// bounds are the classic histograms' upper bounds in nanoseconds: from what a healthy
// Redis takes to what its clients give up at.
var bounds = [...]int64{
	100e3, 250e3, 500e3, 1e6, 2.5e6, 5e6, 10e6, 25e6, 50e6, 100e6, 250e6, 500e6, 1e9, 2.5e9, 5e9, 10e9,
}

// seconds are bounds in Prometheus's unit.
var seconds = func() (s [len(bounds)]float64) {
	for i, b := range bounds {
		s[i] = float64(b) / 1e9
	}
	return s
}()

// The native histograms have eight buckets for each doubling: bucket i ends at 2^(i/8) seconds.
// Up to 2^-20 s, some 954 ns, durations are in the zero bucket; those beyond 2^17 s, a day and
// a half, are in the last.
const (
	schema        = 3
	lowest        = -20
	highest       = 17
	zeroThreshold = 1.0 / (1 << -lowest)
	numNative     = (highest - lowest) << schema
)

// Durations are counted once, in cells that end wherever a bucket of either kind of histogram
// does: both can be made of them.
const numCells = 1 + numNative + len(bounds) - 3 // three ends are of both kinds: 1 s, 1/2 s and 1/4 s

// cell says where one ends, in nanoseconds, and in which buckets it is: the native one and the
// classic one, len(bounds) being that without a bound.
type cell struct {
	end     int64
	native  int32
	classic int
}

// cells are all of them. The first is the zero bucket.
var cells = func() (all [numCells]cell) {
	ends := slices.Clone(bounds[:])
	for i := lowest << schema; i <= highest<<schema; i++ {
		ends = append(ends, nativeEnd(i))
	}
	slices.Sort(ends)
	native := lowest << schema
	for i, end := range slices.Compact(ends) {
		for nativeEnd(native) < end {
			native++
		}
		classic, _ := slices.BinarySearch(bounds[:], end)
		all[i] = cell{end, int32(native), classic}
	}
	return all
}()

// nativeEnd is where native bucket i ends, in whole nanoseconds.
func nativeEnd(i int) int64 { return int64(math.Exp2(float64(i)/(1<<schema)) * 1e9) }

// Durations are found by their length in bits and the four bits after the first: firstCell is
// where the shortest of those alike is.
const shortest, longest = 10, 47 // bits of the first cell's end and of the last's

var firstCell = func() (first [longest - shortest + 1][16]uint16) {
	for length := range first {
		for next := range first[length] {
			d := int64(16+next) << (length + shortest - 5)
			i, _ := slices.BinarySearchFunc(cells[:], d, func(c cell, d int64) int { return cmp.Compare(c.end, d) })
			first[length][next] = uint16(min(i, numCells-1))
		}
	}
	return first
}()

// cellEnds are the cells' ends alone, close together.
var cellEnds = func() (ends [numCells]int64) {
	for i, c := range &cells {
		ends[i] = c.end
	}
	ends[numCells-1] = math.MaxInt64
	return ends
}()

// cellOf returns the cell of a duration in nanoseconds.
func cellOf(d int64) int {
	if d < 1<<(shortest-1) {
		return 0
	}
	length := min(bits.Len64(uint64(d)), longest)
	i := int(firstCell[length-shortest][d>>(length-5)&15])
	for d > cellEnds[i] {
		i++
	}
	return i
}

// pageSize is how many counters are allocated together, when one of them is first used.
const pageSize = 16

// page has counters that are written by one goroutine and read by scrapes: their atomics are
// never contended.
type page [pageSize]atomic.Uint64

// pageAt returns a page, which is there from then on.
func pageAt(slot *atomic.Pointer[page]) *page {
	if p := slot.Load(); p != nil {
		return p
	}
	return newPage(slot)
}

//go:noinline
func newPage(slot *atomic.Pointer[page]) *page {
	p := new(page)
	slot.Store(p)
	return p
}

// addPages adds the pages' counters to those in sum, which has room for all that are used.
func addPages(sum []uint64, pages []atomic.Pointer[page]) {
	for i := range pages {
		if at := pages[i].Load(); at != nil {
			for j := range min(pageSize, len(sum)-i*pageSize) {
				sum[i*pageSize+j] += at[j].Load()
			}
		}
	}
}

// histogram takes 176 bytes, and 128 for each sixteen neighbouring cells that are used. What
// takes no time at all needs none of these.
type histogram struct {
	zero  atomic.Uint64 // the first cell
	nanos atomic.Uint64 // after 585 years, of all commands together, it begins anew, as a counter does
	cells [(numCells + pageSize - 1) / pageSize]atomic.Pointer[page]
}

func (h *histogram) observe(d time.Duration, n int) {
	if bare.On {
		return
	}
	if d <= 0 { // nothing takes less: the sum is a counter
		h.zero.Add(uint64(n)) //nolint:gosec // n counts
		return
	}
	if i := uint(cellOf(int64(d))); i == 0 {
		h.zero.Add(uint64(n)) //nolint:gosec // n counts
	} else {
		pageAt(&h.cells[i/pageSize])[i%pageSize].Add(uint64(n)) //nolint:gosec // n counts
	}
	h.nanos.Add(uint64(d) * uint64(n)) //nolint:gosec // neither is negative
}

// numDuration is how many counters a histogram is when it is summed: its cells, and the
// nanoseconds.
const numDuration = numCells + 1

// addTo adds the histogram to its sum, which has numDuration counters.
func (h *histogram) addTo(sum []uint64) {
	sum[0] += h.zero.Load()
	addPages(sum[:numCells], h.cells[:])
	sum[numCells] += h.nanos.Load()
}

package dist

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"sort"
)

// readCorpus counts the lengths of a file's lines.
func readCorpus(path string) (Size, error) {
	f, err := os.Open(path)
	if err != nil {
		return Size{}, err
	}
	defer f.Close()
	counts, err := lineLengths(f)
	if err != nil {
		return Size{}, err
	}
	return newCorpusSize("corpus:"+path, counts)
}

// lineLengths counts lines by length. A carriage return before the newline belongs to
// the line end; empty lines are left out, since no record has an empty key.
func lineLengths(r io.Reader) (map[int]uint64, error) {
	lines := bufio.NewReaderSize(r, 256<<10)
	counts := map[int]uint64{}
	length, last := 0, byte(0) // of the line so far, which may come in pieces
	for {
		piece, err := lines.ReadSlice('\n')
		if err != nil && err != io.EOF && err != bufio.ErrBufferFull {
			return nil, err
		}
		text := bytes.TrimSuffix(piece, []byte("\n"))
		if length += len(text); length > maxSize {
			return nil, fmt.Errorf("a line is longer than %d bytes", maxSize)
		}
		if len(text) > 0 {
			last = text[len(text)-1]
		}
		if err == bufio.ErrBufferFull {
			continue
		}
		if err == nil && length > 0 && last == '\r' {
			length--
		}
		if length > 0 {
			counts[length]++
		}
		if err == io.EOF {
			return counts, nil
		}
		length, last = 0, 0
	}
}

// newCorpusSize makes a distribution of counted lengths. Files have many lines of few
// lengths: a binary search over those is all it takes.
func newCorpusSize(text string, counts map[int]uint64) (Size, error) {
	if len(counts) == 0 {
		return Size{}, errors.New("no line has any text")
	}
	lengths := slices.Sorted(maps.Keys(counts))
	upTo := make([]uint64, len(lengths)) // lines no longer than lengths[i]
	total, sum := uint64(0), 0.0
	for i, n := range lengths {
		total += counts[n]
		sum += float64(n) * float64(counts[n])
		upTo[i] = total
	}
	return Size{
		text: text, min: lengths[0], max: lengths[len(lengths)-1], mean: sum / float64(total),
		quantile: func(x uint64) int {
			line := scale(x, total)
			return lengths[sort.Search(len(upTo), func(i int) bool { return upTo[i] > line })]
		},
	}, nil
}

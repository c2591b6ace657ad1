package fold

import (
	"errors"
	"fmt"

	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/mutant"
)

// MaxChain is how many operands may lie above a value before whoever can make a full value
// of them does, whatever that costs.
const MaxChain = 32

// Chain collects the versions of one key from its newest operand down to its base, in either
// order, and folds them. It copies what it is given. The zero Chain is empty. A Chain is for
// one goroutine, and may be used again after Reset.
type Chain struct {
	links   []link // in the order in which they were added
	upward  bool   // the oldest one was added first
	baseSeq keys.SeqNum
	base    Base // Value aliases text, or belongs to whoever has set it
	text    []byte
	group   [][]byte  // operands of one operator, while folding
	spare   [2][]byte // results between two of them
}

// link is one operand.
type link struct {
	seq      keys.SeqNum
	head     Header
	from, to int // the operand in text
}

// maxKept keeps one long chain, or giant value, from being held for ever.
const maxKept = 64 << 10

// Reset empties the chain. upward says that operands will be added oldest first, after their
// base.
func (c *Chain) Reset(upward bool) {
	if cap(c.text) > maxKept || cap(c.links) > maxKept/64 {
		c.text, c.links = nil, nil
	}
	for i := range c.spare {
		if cap(c.spare[i]) > maxKept {
			c.spare[i] = nil
		}
	}
	c.links, c.text, c.base, c.baseSeq, c.upward = c.links[:0], c.text[:0], Base{}, 0, upward
}

// Len returns the number of operands.
func (c *Chain) Len() int { return len(c.links) }

// Newest returns the number of the newest version, 0 if there is none.
func (c *Chain) Newest() keys.SeqNum {
	if n := len(c.links); n > 0 {
		return c.link(n - 1).seq
	}
	return c.baseSeq
}

// Sealed reports whether the base was sealed.
func (c *Chain) Sealed() bool { return c.base.Sealed }

// Base returns the base. Its value is the chain's.
func (c *Chain) Base() Base { return c.base }

// DropExpired forgets the base, with the operands that were committed before it ended, if there is one that
// was committed afterwards, and reports whether it did: what the base was does not matter then.
func (c *Chain) DropExpired() bool {
	for i := range c.links {
		if c.base.State == Absent || c.base.At(c.link(i).head.Time).State != Absent {
			continue
		}
		if c.upward {
			c.links = append(c.links[:0], c.links[i:]...)
		} else {
			c.links = c.links[:len(c.links)-i]
		}
		c.base = Base{}
		return true
	}
	return false
}

// Add adds the value of a merge entry with the given number. One with the number of the base
// is part of it already.
func (c *Chain) Add(seq keys.SeqNum, value []byte) {
	if seq == c.baseSeq && !(mutant.Enabled && mutant.Is(mutant.FoldTwice)) {
		return
	}
	head, operand := Split(value)
	from := len(c.text)
	c.text = append(c.text, operand...)
	c.links = append(c.links, link{seq: seq, head: head, from: from, to: len(c.text)})
}

// SetBase ends a chain that grows downward, or begins one anew that grows upward: b is what
// the version with the given number makes of the key. Its value is copied. Where that version
// is the fold of the oldest operand, with the same number, the operand is part of it.
func (c *Chain) SetBase(seq keys.SeqNum, b Base) {
	if c.upward {
		c.links, c.text = c.links[:0], c.text[:0]
	} else if n := len(c.links); n > 0 && c.links[n-1].seq == seq && !(mutant.Enabled && mutant.Is(mutant.FoldTwice)) {
		c.links = c.links[:n-1]
	}
	c.base, c.baseSeq = Base{State: b.State, Expiry: b.Expiry, Sealed: b.Sealed}, seq
	if b.State == Present {
		from := len(c.text)
		c.text = append(c.text, b.Value...)
		c.base.Value = notNil(c.text[from:len(c.text):len(c.text)])
	}
}

// Fold appends to dst the value that the operands make of the base, and returns what becomes
// of the key; its value is what was appended. With an error, which matches *UnknownError or
// *OperatorError, dst is as it was.
func (c *Chain) Fold(ops *Operators, dst []byte) (out []byte, b Base, err error) {
	now := c.base
	at := 0 // links folded
	for i := 0; at < len(c.links); i++ {
		n := c.sameKind(at, now)
		first := c.link(at)
		op := ops.ByID(first.head.Operator)
		if op == nil {
			return dst, Base{}, &UnknownError{first.head.Operator}
		}
		now = now.At(first.head.Time)
		if now.State == Reclaimed {
			at += n // gone with what they were above
			continue
		}
		c.group = c.group[:0]
		for j := range n {
			l := c.link(at + j)
			c.group = append(c.group, c.text[l.from:l.to:l.to])
		}
		at += n
		// Into a buffer of its own: given to a function that nobody knows, dst would escape.
		into, err := op.Fold(c.spare[i%2][:0], now.Value, c.group)
		if err == nil && len(into) > keys.MaxValueLen {
			err = fmt.Errorf("%w: %d bytes", ErrTooLong, len(into))
		}
		if err != nil {
			return dst, Base{}, &OperatorError{op.Name, err}
		}
		c.spare[i%2] = into
		now.State, now.Value = Present, notNil(into)
	}
	if now.State != Present {
		return dst, now, nil
	}
	out = append(dst, now.Value...)
	return out, Base{State: Present, Expiry: now.Expiry, Value: notNil(out[len(dst):])}, nil
}

// ErrTooLong: a fold gave more than a value can hold.
var ErrTooLong = errors.New("fold: the value grows beyond its limit")

// sameKind returns how many operands from the at-th on, oldest first, one call of their
// operator can fold into b: those of one operator, none of which sees b expire.
func (c *Chain) sameKind(at int, b Base) int {
	first := c.link(at)
	b = b.At(first.head.Time)
	n := 1
	for ; at+n < len(c.links); n++ {
		l := c.link(at + n)
		if l.head.Operator != first.head.Operator || b.Expiry != 0 && l.head.Time >= b.Expiry {
			break
		}
	}
	return n
}

// link returns the i-th operand, oldest first.
func (c *Chain) link(i int) *link {
	if c.upward {
		return &c.links[i]
	}
	return &c.links[len(c.links)-1-i]
}

package fold_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/fold"
	"github.com/loamdb/loam/internal/golden"
	"github.com/loamdb/loam/internal/keys"
)

func i64(n int64) []byte { return binary.LittleEndian.AppendUint64(nil, uint64(n)) }

// first is an operator that cannot combine: the first operand wins where nothing is.
var first = fold.Operator{Name: "test.first", Fold: func(dst, value []byte, operands [][]byte) ([]byte, error) {
	if value == nil {
		value = operands[0]
	}
	if string(value) == "refuse" {
		return nil, errRefused
	}
	return append(dst, value...), nil
}}

var errRefused = errors.New("refused")

func operators(t testing.TB) *fold.Operators {
	o, err := fold.NewOperators([]fold.Operator{first})
	require.NoError(t, err)
	return o
}

func entry(op string, at int64, operand []byte) []byte {
	return fold.AppendOperand(nil, fold.Header{Time: at, Operator: fold.IDOf(op)}, operand)
}

func present(value string, expiry int64) fold.Base {
	return fold.Base{State: fold.Present, Value: []byte(value), Expiry: expiry}
}

// folded folds operands, oldest first, in both orders of collecting them.
func folded(t testing.TB, o *fold.Operators, b fold.Base, operands ...[]byte) (fold.Base, error) {
	var c fold.Chain
	c.Reset(true)
	c.SetBase(1, b)
	for i, v := range operands {
		c.Add(keys.SeqNum(2+i), v)
	}
	_, up, upErr := c.Fold(o, []byte("kept"))
	c.Reset(false)
	for i := len(operands) - 1; i >= 0; i-- {
		c.Add(keys.SeqNum(2+i), operands[i])
	}
	c.SetBase(1, b)
	out, down, err := c.Fold(o, []byte("kept"))
	require.Equal(t, "kept", string(out[:4]))
	require.Equal(t, up, down)
	require.Equal(t, upErr, err)
	return down, err
}

func TestBuiltInOperators(t *testing.T) {
	o := operators(t)
	for _, c := range []struct {
		op       string
		base     []byte // nil: absent
		operands [][]byte
		want     []byte
	}{
		{fold.Int64Add, i64(5), [][]byte{i64(2), i64(-10)}, i64(-3)},
		{fold.Int64Add, nil, [][]byte{i64(2)}, i64(2)},
		{fold.Int64Add, i64(math.MaxInt64), [][]byte{i64(1)}, i64(math.MinInt64)},
		{fold.Int64Max, nil, [][]byte{i64(-7), i64(-9)}, i64(-7)},
		{fold.Int64Max, i64(3), [][]byte{i64(4)}, i64(4)},
		{fold.Int64Min, i64(3), [][]byte{i64(4), i64(-1)}, i64(-1)},
		{fold.BytesAppend, nil, [][]byte{[]byte("a"), nil, []byte("b")}, []byte("ab")},
		{fold.BytesAppend, []byte("x"), [][]byte{[]byte("y")}, []byte("xy")},
		{fold.BytesAppend, nil, [][]byte{nil}, []byte{}},
	} {
		b := fold.Base{}
		if c.base != nil {
			b = present(string(c.base), 0)
		}
		var entries [][]byte
		for _, operand := range c.operands {
			entries = append(entries, entry(c.op, 1, operand))
		}
		got, err := folded(t, o, b, entries...)
		require.NoError(t, err)
		require.Equal(t, fold.Present, got.State)
		require.Equal(t, c.want, got.Value, "%s of %v under %v", c.op, c.base, c.operands)
	}
}

// O4: what an operator refuses, or is not known, is an error and leaves dst as it was.
func TestWhatCannotBeFoldedIsAnError(t *testing.T) {
	o := operators(t)
	_, err := folded(t, o, present("seven b", 0), entry(fold.Int64Add, 1, i64(1)))
	var refused *fold.OperatorError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, fold.Int64Add, refused.Operator)
	_, err = folded(t, o, present("12345678", 0), entry(fold.Int64Add, 1, []byte("x")))
	require.ErrorAs(t, err, &refused)
	_, err = folded(t, o, present("refuse", 0), entry("test.first", 1, nil))
	require.ErrorIs(t, err, errRefused)
	_, err = folded(t, o, present("x", 0), entry(fold.BytesAppend, 1, nil), entry("nobody's", 1, nil))
	var unknown *fold.UnknownError
	require.ErrorAs(t, err, &unknown)
	require.Equal(t, fold.IDOf("nobody's"), unknown.ID)
}

func TestOperatorsOfAChainAreAppliedInTheirOrder(t *testing.T) {
	got, err := folded(t, operators(t), present(string(i64(5)), 0),
		entry(fold.Int64Add, 1, i64(2)), entry(fold.Int64Add, 1, i64(3)), entry(fold.Int64Max, 1, i64(100)),
		entry(fold.Int64Add, 1, i64(1)), entry(fold.Int64Min, 1, i64(7)))
	require.NoError(t, err)
	require.Equal(t, i64(7), got.Value)
}

// O3.
func TestOperandsMeetWhatHasNotExpired(t *testing.T) {
	o := operators(t)
	add := func(at int64, s string) []byte { return entry(fold.BytesAppend, at, []byte(s)) }
	for name, c := range map[string]struct {
		base     fold.Base
		operands [][]byte
		want     fold.Base
	}{
		"before":        {present("v", 100), [][]byte{add(99, "a")}, present("va", 100)},
		"at":            {present("v", 100), [][]byte{add(100, "a")}, present("a", 0)},
		"both":          {present("v", 100), [][]byte{add(98, "a"), add(99, "b"), add(100, "c"), add(101, "d")}, present("cd", 0)},
		"none expires":  {present("v", 0), [][]byte{add(1<<40, "a")}, present("va", 0)},
		"gone with it":  {fold.Base{State: fold.Reclaimed, Expiry: 100}, [][]byte{add(99, "a")}, fold.Base{State: fold.Reclaimed, Expiry: 100}},
		"after it":      {fold.Base{State: fold.Reclaimed, Expiry: 100}, [][]byte{add(99, "a"), add(100, "b")}, present("b", 0)},
		"two operators": {present("v", 100), [][]byte{add(99, "a"), entry("test.first", 99, []byte("f")), add(100, "b")}, present("b", 0)},
	} {
		got, err := folded(t, o, c.base, c.operands...)
		require.NoError(t, err, name)
		require.Equal(t, c.want.State, got.State, name)
		require.Equal(t, c.want.Expiry, got.Expiry, name)
		require.Equal(t, string(c.want.Value), string(got.Value), name)
	}
}

// O2: combining two neighbours first changes nothing, whatever lies below.
func TestCombinedOperandsDoWhatTheyDidOneByOne(t *testing.T) {
	o := operators(t)
	rnd := rand.New(rand.NewPCG(1, 1))
	combined := 0
	for range 4000 {
		b := fold.Base{}
		expiry := int64(rnd.IntN(3)) * int64(rnd.IntN(12))
		if rnd.IntN(3) > 0 {
			b = present(string(i64(int64(rnd.IntN(50)))), expiry)
		}
		var operands [][]byte
		at := int64(1)
		for range 2 + rnd.IntN(5) {
			at += int64(rnd.IntN(3))
			op := []string{fold.Int64Add, fold.Int64Max, fold.Int64Min, fold.Int64Add}[rnd.IntN(4)]
			operands = append(operands, entry(op, at, i64(int64(rnd.IntN(100)-50))))
		}
		want, err := folded(t, o, b, operands...)
		require.NoError(t, err)
		i := rnd.IntN(len(operands) - 1)
		one, ok := o.Combine(nil, operands[i], operands[i+1], func(after, upTo int64) bool {
			return b.Expiry > after && b.Expiry <= upTo
		})
		if !ok {
			continue
		}
		combined++
		operands[i+1] = one
		got, err := folded(t, o, b, append(operands[:i:i], operands[i+1:]...)...)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	require.Greater(t, combined, 500)
}

func TestWhatIsNotCombined(t *testing.T) {
	o := operators(t)
	add := entry(fold.Int64Add, 1, i64(1))
	stamped := fold.AppendOperand(nil, fold.Header{Time: 1, Operator: fold.IDOf(fold.Int64Add), Stamp: 7}, i64(1))
	for name, pair := range map[string][2][]byte{
		"operators": {add, entry(fold.Int64Max, 1, i64(1))}, "schemas": {add, stamped},
		"unable": {entry("test.first", 1, nil), entry("test.first", 1, nil)}, "unknown": {entry("x", 1, nil), entry("x", 1, nil)},
		"malformed": {add, entry(fold.Int64Add, 1, nil)},
	} {
		out, ok := o.Combine([]byte("kept"), pair[0], pair[1], nil)
		require.False(t, ok, name)
		require.Equal(t, "kept", string(out), name)
	}
	later := entry(fold.Int64Add, 9, i64(1))
	_, ok := o.Combine(nil, add, later, func(after, upTo int64) bool { require.Equal(t, []int64{1, 9}, []int64{after, upTo}); return true })
	require.False(t, ok)
	_, ok = o.Combine(nil, add, add, func(int64, int64) bool { return true })
	require.True(t, ok, "committed together")
}

// A version with the number of an operand is the fold of everything up to it.
func TestABaseWithAnOperandsNumberHoldsIt(t *testing.T) {
	o := operators(t)
	var c fold.Chain
	c.Reset(false)
	c.Add(9, entry(fold.Int64Add, 1, i64(1)))
	c.Add(8, entry(fold.Int64Add, 1, i64(1)))
	c.SetBase(8, present(string(i64(40)), 0))
	_, b, err := c.Fold(o, nil)
	require.NoError(t, err)
	require.Equal(t, i64(41), b.Value)
	c.Reset(true)
	c.Add(7, entry(fold.Int64Add, 1, i64(1)))
	c.SetBase(8, present(string(i64(40)), 0))
	c.Add(8, entry(fold.Int64Add, 1, i64(1)))
	c.Add(9, entry(fold.Int64Add, 1, i64(1)))
	require.Equal(t, keys.SeqNum(9), c.Newest())
	_, b, err = c.Fold(o, nil)
	require.NoError(t, err)
	require.Equal(t, i64(41), b.Value)
}

func TestOperatorsThatCannotStandBesideEachOther(t *testing.T) {
	named := func(name string) fold.Operator { return fold.Operator{Name: name, Fold: first.Fold} }
	for name, ops := range map[string][]fold.Operator{
		"no name": {named("")}, "twice": {named("a"), named("a")}, "built in": {named(fold.Int64Add)},
		"no fold": {{Name: "a"}}, "long": {named(string(make([]byte, 256)))},
	} {
		_, err := fold.NewOperators(ops)
		require.ErrorIs(t, err, fold.ErrOperators, name)
	}
}

// The bytes of an operand, and the ids of the built-in operators, are on disk (O1).
func TestOperandsAreEncodedAsDescribed(t *testing.T) {
	text := ""
	for _, op := range []string{fold.Int64Add, fold.Int64Max, fold.Int64Min, fold.BytesAppend} {
		text += fmt.Sprintf("%-12s %08x\n", op, uint32(fold.IDOf(op)))
	}
	h := fold.Header{Time: 1_700_000_000_123, Operator: fold.IDOf(fold.Int64Add), Stamp: 3}
	text += fmt.Sprintf("operand %x\n", fold.AppendOperand(nil, h, i64(-2)))
	golden.Assert(t, "testdata/operands.txt", []byte(text))
	got, operand := fold.Split(fold.AppendOperand(nil, h, i64(-2)))
	require.Equal(t, h, got)
	require.Equal(t, i64(-2), operand)
}

// Whatever an entry holds: no panic, and what is a base is encoded as the same entry.
func FuzzEntries(f *testing.F) {
	f.Add(uint8(keys.KindMerge), entry(fold.Int64Add, 1, i64(1)), entry(fold.Int64Add, 2, i64(1)))
	f.Add(uint8(keys.KindSetWithExpiry), []byte("12345678value"), entry(fold.BytesAppend, 2, []byte("x")))
	f.Add(uint8(keys.KindExpiryMarker), []byte("12345678"), entry(fold.Int64Max, 2, nil))
	o := operators(f)
	f.Fuzz(func(t *testing.T, kind uint8, value, operand []byte) {
		k := keys.Kind(kind)
		if len(value) < k.MinValueLen() || len(operand) < keys.MergeHeaderLen {
			return // refused by whoever reads entries
		}
		var c fold.Chain
		c.Reset(false)
		c.Add(3, operand)
		if k == keys.KindMerge {
			c.Add(2, value)
			_, _ = o.Combine(nil, value, operand, nil)
		}
		if b, ok := fold.BaseOf(k, value); ok {
			c.SetBase(1, b)
			if kind, again := b.AppendEntry(nil); k == keys.KindDelete {
				require.Equal(t, k, kind)
			} else if b.Expiry != 0 || k == keys.KindSet {
				require.Equal(t, k, kind)
				if k != keys.KindExpiryMarker {
					require.Equal(t, string(value), string(again))
				}
			}
		}
		_, b, err := c.Fold(o, nil)
		if err == nil && b.State == fold.Present {
			require.NotNil(t, b.Value)
		}
	})
}

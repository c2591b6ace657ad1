package linear

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strconv"
	"sync"
	"testing"

	"github.com/anishathalye/porcupine"
	"github.com/loamdb/loam/scope"
	typed "github.com/loamdb/loam/state"
	"github.com/stretchr/testify/require"
)

// Operations of the state layer that tell what they have made of a value: increments and appends, blind
// increments among them, transactions that do the same by hand, deletes and conditional writes. Each is
// about one key, of which two hold numbers and two hold lists.

// what is what an operation does to its key.
type what uint8

const (
	get what = iota
	put
	increment
	incrementBlind
	incrementByHand // in a transaction
	extend
	erase
	create
	replace // if the key is as it was read
)

func (w what) String() string {
	return [...]string{"get", "put", "increment", "increment blind", "increment by hand", "append", "delete", "create", "replace"}[w]
}

// asked is an operation, and told what its client was told. Texts are numbers in decimal, or the
// elements of a list one after the other; "" is absent.
type asked struct {
	what     what
	key      int
	text     string // that is put, or appended
	delta    int64
	expected string
}

type told struct {
	text string
	did  bool // it was there, or was written
}

// possible reports whether a key that holds something may give the answer, and what it then holds.
func possible(holds string, in asked, out told) (bool, string) {
	number, _ := strconv.ParseInt(holds, 10, 64)
	sum := strconv.FormatInt(number+in.delta, 10)
	switch in.what {
	case get:
		return out.text == holds, holds
	case put:
		return true, in.text
	case increment, incrementByHand:
		return out.text == sum, sum
	case incrementBlind:
		return true, sum
	case extend:
		return out.text == holds+in.text, holds + in.text
	case erase:
		return out.did == (holds != ""), ""
	case create:
		if holds == "" {
			return out.did, in.text
		}
		return !out.did, holds
	}
	// replace: versions are compared, and not values, which may have come back.
	if out.did {
		return holds == in.expected, in.text
	}
	return true, holds
}

var resultModel = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		parts := make([][]porcupine.Operation, keys)
		for _, op := range history {
			key := op.Input.(asked).key
			parts[key] = append(parts[key], op)
		}
		return parts
	},
	Init: func() any { return "" },
	Step: func(holds, in, out any) (bool, any) { return possible(holds.(string), in.(asked), out.(told)) },
	DescribeOperation: func(in, out any) string {
		return fmt.Sprintf("%v %+v: %+v", in.(asked).what, in, out)
	},
}

// resultClient does one such operation after the other.
type resultClient struct {
	h     *History
	id    int
	rnd   *rand.Rand
	store *typed.Store
	sc    *typed.Scope
}

func (c *resultClient) act() error {
	runtime.Gosched()
	key := c.rnd.IntN(keys)
	in := asked{key: key, delta: int64(1 + c.rnd.IntN(1000)), text: fmt.Sprintf("%d.", c.h.tokens.Add(1))}
	verbs := []what{get, get, put, extend, extend, extend, erase, create, replace}
	if key < keys/2 {
		in.text = strconv.FormatInt(in.delta, 10)
		verbs = []what{get, get, put, increment, increment, increment, incrementBlind, incrementByHand, erase, create, replace}
	}
	in.what = verbs[c.rnd.IntN(len(verbs))]
	if in.what != replace {
		return c.note(in, func() (told, error) { return c.do(in) })
	}
	var version typed.Version
	read := asked{what: get, key: key}
	err := c.note(read, func() (told, error) {
		v, meta, err := c.sc.GetWithMeta(background, string(name(key)))
		version = meta.Version
		in.expected, err = plainText(v, err)
		return told{text: in.expected}, err
	})
	if err != nil {
		return err
	}
	return c.note(in, func() (told, error) {
		_, err := c.sc.CompareAndSet(background, string(name(key)), version, in.value())
		if errors.Is(err, typed.ErrConflict) {
			return told{}, nil
		}
		return told{did: true}, err
	})
}

func (c *resultClient) note(in asked, do func() (told, error)) error {
	call := c.h.clock.Add(1)
	out, err := do()
	c.h.mu.Lock()
	defer c.h.mu.Unlock()
	c.h.ops = append(c.h.ops, porcupine.Operation{ClientId: c.id, Input: in, Output: out, Call: call, Return: c.h.clock.Add(1)})
	return err
}

// value returns what is written for the text.
func (in *asked) value() any {
	if in.key < keys/2 {
		return in.delta
	}
	return []any{in.text}
}

func (c *resultClient) do(in asked) (out told, err error) {
	key := string(name(in.key))
	class := typed.WithClass([]typed.Class{typed.External, typed.Trusted, typed.Standard}[c.rnd.IntN(3)])
	var v any
	switch in.what {
	case get:
		v, err = c.sc.Get(background, key)
	case put:
		return out, c.sc.Set(background, key, in.value(), class)
	case increment:
		v, err = c.sc.Increment(background, key, in.delta, class)
	case incrementBlind:
		return out, c.sc.IncrementBlind(background, key, in.delta)
	case incrementByHand:
		err = c.store.Transact(background, func(tx *typed.Txn) error {
			sc := tx.Scope(c.sc.Name())
			old, err := typed.Get[int64](background, sc, key)
			if err != nil && !errors.Is(err, typed.ErrNotFound) {
				return err
			}
			v = old + in.delta
			return sc.Set(background, key, v, class)
		})
	case extend:
		v, err = c.sc.Append(background, key, in.text, class)
	case erase:
		out.did, err = c.sc.Delete(background, key)
		return out, err
	case create:
		out.did, err = c.sc.SetIfAbsent(background, key, in.value(), class)
		return out, err
	}
	out.text, err = plainText(v, err)
	return out, err
}

// plainText returns a number or a list as the model has it, "" for none.
func plainText(v any, err error) (string, error) {
	if errors.Is(err, typed.ErrNotFound) {
		return "", nil
	}
	if list, ok := v.([]any); ok {
		text := ""
		for _, e := range list {
			text += fmt.Sprint(e)
		}
		return text, err
	}
	return fmt.Sprint(v), err
}

// playResults plays a history of such operations.
func playResults(seed uint64, memory bool) (*History, error) {
	h := &History{Seed: seed, Single: true}
	store, err := openTyped(h, memory)
	if err != nil {
		return nil, err
	}
	errs := make([]error, clients)
	var wg sync.WaitGroup
	for i := range clients {
		c := &resultClient{h: h, id: i, rnd: h.random(2000 + i), store: store, sc: store.Scope(scope.Custom("history"))}
		wg.Go(func() {
			for errs[i] == nil && h.calls.Add(1) <= operations {
				errs[i] = c.act()
			}
		})
	}
	wg.Wait()
	return h, errors.Join(append(errs, store.Close())...)
}

// B15: what changes tell their callers could have been told to one after the other.
func TestResultsOfTheStateLayerAreLinearizable(t *testing.T) {
	for _, memory := range []bool{false, true} {
		t.Run(fmt.Sprint("memory ", memory), func(t *testing.T) {
			for n := range uint64(lane() / 4) {
				h, err := playResults(*seed*1_000_000+n, memory)
				require.NoError(t, err)
				require.GreaterOrEqual(t, len(h.ops), operations)
				verdict, info := porcupine.CheckOperationsVerbose(resultModel, h.ops, Patience)
				require.Equal(t, porcupine.Ok, verdict, "%v: %v", h, info.PartialLinearizations())
			}
		})
	}
}

// The model tells what may be from what may not.
func TestTheModelOfResultsRefuses(t *testing.T) {
	for i, c := range []struct {
		holds string
		in    asked
		out   told
		legal bool
		left  string
	}{
		{"5", asked{what: increment, delta: 2}, told{text: "7"}, true, "7"},
		{"5", asked{what: increment, delta: 2}, told{text: "8"}, false, "7"},
		{"", asked{what: incrementBlind, delta: 2}, told{}, true, "2"},
		{"1.", asked{what: extend, text: "2."}, told{text: "1.2."}, true, "1.2."},
		{"1.", asked{what: extend, text: "2."}, told{text: "2."}, false, "1.2."},
		{"", asked{what: erase}, told{did: true}, false, ""},
		{"5", asked{what: create, text: "6"}, told{did: true}, false, "5"},
		{"5", asked{what: create, text: "6"}, told{}, true, "5"},
		{"5", asked{what: replace, expected: "4", text: "6"}, told{did: true}, false, "6"},
		{"5", asked{what: replace, expected: "5", text: "6"}, told{did: true}, true, "6"},
		{"5", asked{what: replace, expected: "4", text: "6"}, told{}, true, "5"},
		{"5", asked{what: get}, told{text: "4"}, false, "5"},
	} {
		legal, left := possible(c.holds, c.in, c.out)
		require.Equal(t, c.legal, legal, i)
		require.Equal(t, c.left, left, i)
	}
}

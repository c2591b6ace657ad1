package linear

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// Patience is how long Check looks for an order. It takes milliseconds as a rule.
const Patience = time.Minute

// Errors of Check.
var (
	// ErrIllegal: no order explains what the clients were told.
	ErrIllegal = errors.New("linear: not linearizable")
	// ErrUndecided: none was found within Patience, nor was it shown that there is none.
	ErrUndecided = errors.New("linear: not decided")
)

// Check returns nil if the history is linearizable. An error has the operations with it, in
// the order of their calls.
func (h *History) Check() error {
	holds := state{}
	for i, ops := range h.processes {
		if err := check(holds, ops); err != nil {
			return fmt.Errorf("%v: process %d: %w", h, i+1, err)
		}
		holds = h.found
	}
	return nil
}

// check returns nil if the operations are linearizable on a store that holds something. Those
// that touch one key each are parted.
func check(holds state, ops []porcupine.Operation) error {
	for _, part := range partition(ops) {
		narrowed, possible := narrow(part)
		verdict := porcupine.Illegal
		if possible {
			verdict = porcupine.CheckOperationsTimeout(model(holds), narrowed, Patience)
		}
		switch verdict {
		case porcupine.Illegal:
			return fmt.Errorf("%w: it held %q\n%s", ErrIllegal, holds, listing(part))
		case porcupine.Unknown:
			return fmt.Errorf("%w: it held %q\n%s", ErrUndecided, holds, listing(part))
		}
	}
	return nil
}

// listing has a line for each operation.
func listing(ops []porcupine.Operation) string {
	ops = slices.SortedFunc(slices.Values(ops), func(a, b porcupine.Operation) int { return int(a.Call - b.Call) })
	var b strings.Builder
	for _, op := range ops {
		in, out := op.Input.(input), op.Output.(output)
		end := fmt.Sprint(op.Return)
		if out.unknown {
			end = "?"
		}
		fmt.Fprintf(&b, "%4d-%-4s client %-2d %s\n", op.Call, end, op.ClientId, describe(in, out))
	}
	return b.String()
}

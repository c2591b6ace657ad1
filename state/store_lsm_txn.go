package state

import (
	"github.com/loamdb/loam/lsm"
	"github.com/loamdb/loam/scope"
)

// inTxn is a transaction as one of its spaces has it: name is the space's scope.
type inTxn struct {
	*lsm.Txn
	name  scope.Scope
	whole *txn
}

// txn is a transaction.
type txn struct {
	root  *lsm.Txn
	wrote []tally      // what was written, while some scopes have rules
	alive func() error // returns nil while the transaction may be used
}

// begin begins a transaction, to be ended by commit or rollback; alive is asked at each step.
func (e *engine) begin(alive func() error) (*txn, error) {
	root, err := e.db.Begin()
	return &txn{root: root, alive: alive}, translate(err)
}

// open returns a scope as the transaction has it.
func (t *txn) open(name scope.Scope) (space, error) {
	in, err := t.root.Scope(name)
	return space{tx: &inTxn{in, name, t}}, translate(err)
}

// commit ends the transaction and commits what was committed in its spaces. ErrConflict means that nothing
// was written and another attempt may succeed. It returns the version of the last of the writes.
func (t *txn) commit(unsynced bool) (Version, error) {
	t.root.SetWriteOptions(syncOf(unsynced))
	if err := t.root.Commit(); err != nil {
		return 0, translate(err)
	}
	return Version(t.root.LastVersion()), nil
}

func (t *txn) rollback() { t.root.Rollback() }

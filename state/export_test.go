package state

import "github.com/loamdb/loam/scope"

// PutOwn writes a record of the store's own into the scope.
func (s *Scope) PutOwn(name string) error {
	_, err := s.store.engine.commit([]write{{space: s.space, key: []byte("\x00" + name), value: []byte("own")}}, true)
	return err
}

// PutRaw writes bytes that are no value, or one that this version cannot read, to a key.
func (s *Scope) PutRaw(key string, stored []byte) error {
	_, err := s.store.engine.commit([]write{{space: s.space, key: []byte(key), value: stored}}, true)
	return err
}

// HasOwn reports whether the scope has one.
func (s *Scope) HasOwn(name string) bool {
	_, _, err := s.space.get(nil, []byte("\x00"+name))
	return err == nil
}

// SetInOwnScope writes a record into a scope of the store's own.
func (s *Store) SetInOwnScope(name string) error {
	space, err := s.engine.space(scope.Custom(reservedName + "own"))
	if err != nil {
		return err
	}
	_, err = s.engine.commit([]write{{space: space, key: []byte(name), value: []byte("own")}}, true)
	return err
}

// FoldOperands folds operands of the operator of increments, or of that of patches.
func FoldOperands(increment bool, dst, value []byte, operands [][]byte) ([]byte, error) {
	if increment {
		return foldOperands(opIncrement, dst, value, operands)
	}
	return foldOperands(opPatch, dst, value, operands)
}

// CheckStored reports whether bytes are what is stored of a value.
func CheckStored(p []byte) error { return checkOperand(p) }

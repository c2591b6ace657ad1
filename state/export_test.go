package state

import "github.com/loamdb/loam/scope"

// PutOwn writes a record of the store's own into the scope.
func (s *Scope) PutOwn(name string) error {
	_, err := s.store.engine.commit([]write{{space: s.space, key: []byte("\x00" + name), value: []byte("own")}}, true)
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

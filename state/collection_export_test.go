package state

import "github.com/loamdb/loam/state/index"

// Kept returns what the store keeps in a scope for itself.
func Kept(s *Scope) (map[string]string, error) {
	kept := map[string]string{}
	err := scan(s.space, nil, []byte(firstKey), false, func(key, value []byte, _ info) bool {
		kept[string(key)] = string(value)
		return true
	})
	return kept, err
}

// Forge writes what the store keeps for itself, or deletes it.
func Forge(s *Scope, key string, value []byte) error {
	_, err := s.store.commit([]write{{space: s.space, key: []byte(key), value: value}}, true)
	return err
}

// IndexesOf returns the indexes of a collection.
func IndexesOf[T any](c *Collection[T]) *index.Set { return c.c.set }

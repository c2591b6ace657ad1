package state

import (
	"maps"
	"sync"

	"github.com/loamdb/loam/state/index"
)

// mostSets is of how many collections, with different names or indexes, the sweeper knows the indexes at most. When
// there are more it forgets all but those of the last openings, half as many.
const mostSets = 1 << 10

// indexSets are the indexes of collections that were opened in this process, by name and ids of indexes: of
// one name there may be different ones, in different scopes.
type indexSets struct {
	mu     sync.Mutex
	byID   map[string]openedSet
	opened uint64 // counts
}

type openedSet struct {
	set *index.Set
	at  uint64 // of opened
}

// setID returns what a catalog says of which indexes a collection has.
func setID(name string, list index.Catalog) string {
	id := append([]byte(name), 0)
	for i := range list {
		id = append(id, list[i].ID[:]...)
	}
	return string(id)
}

// add keeps the indexes of a collection that was opened.
func (s *indexSets) add(set *index.Set) {
	list, _ := set.Reconcile(nil, index.Ready)
	id := setID(set.Collection(), list)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byID == nil {
		s.byID = map[string]openedSet{}
	}
	s.opened++
	s.byID[id] = openedSet{set, s.opened}
	if len(s.byID) > mostSets {
		maps.DeleteFunc(s.byID, func(_ string, o openedSet) bool { return o.at+mostSets/2 <= s.opened })
	}
}

// find returns the indexes of a collection with a catalog, nil if they are not known.
func (s *indexSets) find(name string, list index.Catalog) *index.Set {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.findLocked(name, list)
}

func (s *indexSets) findLocked(name string, list index.Catalog) *index.Set {
	if set := s.byID[setID(name, list)].set; set != nil && list.Agrees(set) {
		return set
	}
	return nil
}

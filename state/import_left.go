package state

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/scope"
)

// What imports have left that did not end: places that nobody can name (import.go).

// importScopes begins the names of the scopes in which imports are staged. What a crash leaves of them
// the next Open drops.
const importScopes = reservedName + "import."

// leftovers are places of imports that could not be dropped yet, as on a device that is full. They are in nobody's
// way, and are tried again.
type leftovers struct {
	wake chan struct{} // of one
	mu   struct {
		sync.Mutex
		places []space
	}
}

func (l *leftovers) add(place space) {
	l.mu.Lock()
	l.mu.places = append(l.mu.places, place)
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default: // it is awake
	}
}

// dropImports drops what imports have left that a crash has ended, or leaves it for later.
func (s *Store) dropImports() error {
	if mutant.Enabled && mutant.Is(mutant.KeepStagedImport) {
		return nil
	}
	for name, err := range s.engine.scopes(scope.KindCustom, importScopes) {
		if err != nil {
			return err
		}
		place, err := s.engine.space(name)
		if err != nil {
			return err
		}
		s.dropNowOrLater(place)
	}
	return nil
}

func (s *Store) dropNowOrLater(place space) {
	if s.dropImport(place) != nil {
		s.left.add(place)
	}
}

// dropLeftovers tries to drop what could not be dropped, with rests between the attempts, until the store ends.
func (s *Store) dropLeftovers() {
	l := &s.left
	rest := time.NewTimer(mostRest)
	defer rest.Stop()
	for tries := 0; ; {
		select {
		case <-l.wake:
			tries = 0
		case <-rest.C:
			if l.drop(s) == 0 {
				rest.Reset(mostRest)
				continue
			}
			tries++
		case <-s.ended.Done():
			return
		}
		rest.Reset(time.Duration(retryRest<<min(tries, mostTries)) * time.Millisecond)
	}
}

// drop drops the places that can be dropped, and returns how many are left.
func (l *leftovers) drop(s *Store) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.places = slices.DeleteFunc(l.mu.places, func(place space) bool { return s.dropImport(place) == nil })
	return len(l.mu.places)
}

// dropImport drops the place of an import, with the key of what was sealed there, and not without: that of the
// scope is another one, and its end would not be that of the copies.
func (s *Store) dropImport(place space) error {
	if s.encrypted {
		if _, err := place.shred(context.Background()); err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
	}
	_, err := place.change(context.Background(), wholeDrop, scope.Scope{}, true)
	return err
}

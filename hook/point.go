package hook

import "fmt"

// Op is what is done to state. The values are on disk.
type Op uint8

// The operations.
const (
	OpSet         Op = 1  // a value is written, whichever way
	OpDelete      Op = 2  // a key is deleted
	OpClear       Op = 3  // every key of a scope is deleted, or the scope dropped
	OpCopy        Op = 4  // a scope is copied to another
	OpMove        Op = 5  // a scope is moved to another
	OpAgentSave   Op = 6  // an agent's state is saved
	OpAgentLoad   Op = 7  // an agent's state is loaded
	OpAgentDelete Op = 8  // an agent's state is deleted
	OpMigrate     Op = 9  // values change to another schema version
	OpBackup      Op = 10 // a backup is made
	OpRestore     Op = 11 // a backup is restored
	OpExpire      Op = 12 // a value's time is over
	OpExport      Op = 13 // a scope is written to a file
	OpImport      Op = 14 // a file is taken into a scope

	lastOp = OpImport
)

var opNames = [...]string{
	"none", "set", "delete", "clear", "copy", "move", "agent_save", "agent_load", "agent_delete", "migrate", "backup",
	"restore", "expire", "export", "import",
}

// Valid reports whether the operation is one of those above.
func (op Op) Valid() bool { return op >= OpSet && op <= lastOp }

// String returns the operation's name, as in set.
func (op Op) String() string {
	if int(op) < len(opNames) {
		return opNames[op]
	}
	return fmt.Sprintf("op(%d)", uint8(op))
}

// Point is where hooks run: before or after an operation.
type Point uint8

// The points.
const (
	BeforeSet         = Point(OpSet) << 1         // see OpSet
	AfterSet          = BeforeSet | 1             // see OpSet
	BeforeDelete      = Point(OpDelete) << 1      // see OpDelete
	AfterDelete       = BeforeDelete | 1          // see OpDelete
	BeforeClear       = Point(OpClear) << 1       // see OpClear
	AfterClear        = BeforeClear | 1           // see OpClear
	BeforeCopy        = Point(OpCopy) << 1        // see OpCopy
	AfterCopy         = BeforeCopy | 1            // see OpCopy
	BeforeMove        = Point(OpMove) << 1        // see OpMove
	AfterMove         = BeforeMove | 1            // see OpMove
	BeforeAgentSave   = Point(OpAgentSave) << 1   // see OpAgentSave
	AfterAgentSave    = BeforeAgentSave | 1       // see OpAgentSave
	BeforeAgentLoad   = Point(OpAgentLoad) << 1   // see OpAgentLoad
	AfterAgentLoad    = BeforeAgentLoad | 1       // see OpAgentLoad
	BeforeAgentDelete = Point(OpAgentDelete) << 1 // see OpAgentDelete
	AfterAgentDelete  = BeforeAgentDelete | 1     // see OpAgentDelete
	BeforeMigrate     = Point(OpMigrate) << 1     // see OpMigrate
	AfterMigrate      = BeforeMigrate | 1         // see OpMigrate
	BeforeBackup      = Point(OpBackup) << 1      // see OpBackup
	AfterBackup       = BeforeBackup | 1          // see OpBackup
	BeforeRestore     = Point(OpRestore) << 1     // see OpRestore
	AfterRestore      = BeforeRestore | 1         // see OpRestore
	BeforeExpire      = Point(OpExpire) << 1      // see OpExpire
	AfterExpire       = BeforeExpire | 1          // see OpExpire
	BeforeExport      = Point(OpExport) << 1      // see OpExport
	AfterExport       = BeforeExport | 1          // see OpExport
	BeforeImport      = Point(OpImport) << 1      // see OpImport
	AfterImport       = BeforeImport | 1          // see OpImport

	numPoints = AfterImport + 1
)

// Op returns the operation of the point.
func (p Point) Op() Op { return Op(p >> 1) }

// IsBefore reports whether hooks run before the operation at this point.
func (p Point) IsBefore() bool { return p&1 == 0 }

// Valid reports whether the point is one of those above.
func (p Point) Valid() bool { return p.Op().Valid() }

// String returns the point's name, as in before_set.
func (p Point) String() string {
	if p.IsBefore() {
		return "before_" + p.Op().String()
	}
	return "after_" + p.Op().String()
}

// ParsePoint returns the point of a name. Errors match ErrInvalid.
func ParsePoint(name string) (Point, error) {
	for p := BeforeSet; p < numPoints; p++ {
		if p.String() == name {
			return p, nil
		}
	}
	return 0, fmt.Errorf("%w: no such point: %.40q", ErrInvalid, name)
}

// Package command is the table of Redis's commands, 7.0 up to 8: arity, flags,
// ACL categories, where the keys are, and how respgate serves each. The table is
// generated from gen/commands.json.
package command

//go:generate go run ./gen

// ID names a command of the table. Top-level commands have the ids from 1 to
// NumTop-1, their subcommands those behind.
type ID uint16

// Other stands for the commands that the table does not know.
const Other ID = 0

// Class is how respgate serves a command.
type Class uint8

// The classes. Sharing is opt-in: a command whose state the generator was not
// told to be nobody's is Pinned.
const (
	Pinned  Class = iota // leaves state on its connection, blocks, or is unknown
	Shared               // stateless: rides on a link with other clients' commands
	Script               // as Shared, apart from the commands that must not wait for it
	Local                // answered by respgate for the session
	Refused              // cannot work through a proxy
)

// Command is what Redis says of one command (COMMAND INFO), and its class.
type Command struct {
	Name       string // lower case; a subcommand is "config|get"
	Since      string // the Redis version that brought it
	Arity      int    // arguments with the name; negative: at least so many
	Flags      Flags
	Categories Categories
	Class      Class
	Top        ID // the top-level command, itself if it is one
	Container  bool
	Keys       []KeySpec
}

// KeySpec says where a command has keys, as Redis's key specifications do.
// See https://redis.io/docs/latest/develop/reference/key-specs/.
type KeySpec struct {
	Pos     int    // the argument at which the search begins
	Keyword string // else: after this word, sought from argument Pos on (from the end when negative)
	// KeyNum: the argument at Last, counted from there, says how many keys
	// there are, and the first is at First.
	KeyNum      bool
	First       int
	Last        int // the last key, counted from the first; -1 is the last argument
	Step, Limit int
	Unknown     bool // the keys cannot be told
}

// Info returns the command's row of the table. The row is shared: it must not
// be changed.
func (id ID) Info() *Command { return &table[id] }

// IsSubcommand reports whether id is a container's subcommand.
func (id ID) IsSubcommand() bool { return id >= NumTop }

// slots is a hash table of the top-level commands: open addressing, at most a
// quarter full. Every slot holds an id, 0 is empty.
var slots = buildSlots()

const numSlots = 1024

func buildSlots() (slots [numSlots]ID) {
	for id := ID(1); id < NumTop; id++ {
		h := hash([]byte(table[id].Name))
		for slots[h] != 0 {
			h = (h + 1) % numSlots
		}
		slots[h] = id
	}
	return slots
}

// hash folds the case of letters; other bytes that it confuses are told apart
// by the comparison that follows.
func hash(name []byte) uint32 {
	h := uint32(len(name)) //nolint:gosec // only the low bits count
	for _, c := range name {
		h = h*31 + uint32(c|0x20)
	}
	return (h ^ h>>10) % numSlots
}

// maxName is longer than every name in the table.
const maxName = 32

// Lookup returns the top-level command called name, in any case, or Other. It
// does not allocate.
func Lookup(name []byte) ID {
	if len(name) > maxName {
		return Other
	}
	for h := hash(name); ; h = (h + 1) % numSlots {
		id := slots[h]
		if id == Other || equalFold(table[id].Name, name) {
			return id
		}
	}
}

// Sub returns the subcommand called sub, in any case, of a container. Where there
// is none it is id itself.
func (id ID) Sub(sub []byte) ID {
	if !table[id].Container {
		return id
	}
	skip := len(table[id].Name) + 1
	for _, s := range subs[id] {
		if equalFold(table[s].Name[skip:], sub) {
			return s
		}
	}
	return id
}

// equalFold compares b with the lower-case name.
func equalFold(name string, b []byte) bool {
	if len(name) != len(b) {
		return false
	}
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		if c != name[i] {
			return false
		}
	}
	return true
}

// Waits reports whether a command may take long because it waits for what others do.
func (id ID) Waits() bool {
	info := &table[id]
	return info.Flags&FlagBlocking != 0 || info.Name == "wait" || info.Name == "waitaof"
}

// ArityOK reports whether a command may have n arguments, its name included.
func (id ID) ArityOK(n int) bool {
	if a := table[id].Arity; a >= 0 {
		return n == a
	}
	return n >= -table[id].Arity
}

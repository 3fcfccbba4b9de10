package pool

import "slices"

// HashSlots is how many hash slots a cluster has.
const HashSlots = 16384

// Slot returns the hash slot of a key: the CRC16 of what is between its first { and the
// next }, where that is something, else of all of it. See
// https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/.
func Slot(key []byte) int {
	for i, c := range key {
		if c != '{' {
			continue
		}
		for j := i + 1; j < len(key); j++ {
			if key[j] == '}' {
				if j > i+1 {
					key = key[i+1 : j]
				}
				break
			}
		}
		break
	}
	crc := uint16(0)
	for _, c := range key {
		crc = crc<<8 ^ crcTable[byte(crc>>8)^c]
	}
	return int(crc % HashSlots)
}

// crcTable is of the CRC16 of XMODEM: its polynomial is 0x1021, and it begins with 0.
var crcTable = func() (table [256]uint16) {
	for i := range table {
		crc := uint16(i) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
		table[i] = crc
	}
	return table
}()

// Layout says who is who in a group of servers at one time. It is never changed.
type Layout struct {
	Primaries []Backend   // in the order of their lowest slot
	Readers   [][]Backend // for each primary, who may be read from, the best first; empty is the primary
	Lowest    []int       // of each primary the lowest slot, or the last that it had; nil without slots
	slots     *[HashSlots]uint16
}

// Owner returns which of the primaries has a slot; -1 is none. Without slots the first
// primary has all.
func (l *Layout) Owner(slot int) int {
	if l.slots == nil {
		return 0
	}
	return int(l.slots[slot]) - 1
}

// moved is the layout with a slot that primary i has.
func (l *Layout) moved(slot, i int) *Layout {
	next, slots := *l, *l.slots
	slots[slot] = uint16(i + 1) //nolint:gosec // at most HashSlots
	next.slots, next.Lowest = &slots, slices.Clone(l.Lowest)
	for _, p := range []int{l.Owner(slot), i} {
		if lowest := slices.Index(slots[:], uint16(p+1)); p >= 0 && lowest >= 0 { //nolint:gosec // at most HashSlots
			next.Lowest[p] = lowest
		}
	}
	return &next
}

// Owns reports whether a primary has any slots, as far as is known.
func (l *Layout) Owns(i int) bool { return l.Owner(l.Lowest[i]) == i }

// SameServers reports whether two layouts have the same servers in the same places: they
// differ in slots at most.
func (l *Layout) SameServers(other *Layout) bool {
	return other != nil && len(l.Primaries) > 0 && len(other.Primaries) == len(l.Primaries) && &l.Primaries[0] == &other.Primaries[0]
}

// members are all servers of the layout.
func (l *Layout) members() map[Backend]bool {
	all := map[Backend]bool{}
	for _, p := range l.Primaries {
		all[p] = true
	}
	for _, readers := range l.Readers {
		for _, r := range readers {
			all[r] = true
		}
	}
	return all
}

// same reports whether two layouts say the same.
func (l *Layout) same(other *Layout) bool {
	if other == nil || len(l.Primaries) != len(other.Primaries) || (l.slots == nil) != (other.slots == nil) {
		return false
	}
	if l.slots != nil && *l.slots != *other.slots {
		return false
	}
	for i, p := range l.Primaries {
		if p != other.Primaries[i] || len(l.Readers[i]) != len(other.Readers[i]) {
			return false
		}
		for j, r := range l.Readers[i] {
			if r != other.Readers[i][j] {
				return false
			}
		}
	}
	return true
}

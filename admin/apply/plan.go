package apply

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Plan is how to get from what there is to what is wanted.
type Plan struct {
	Steps     []Step `json:"steps"` // to be done in this order; never nil
	Unchanged int    `json:"unchanged"`
}

// New plans how to get from what there is to what is wanted. With prune, what the wanted
// organizations have and nobody wants is deleted. The error says what cannot be.
func New(wanted, current []Organization, prune bool) (Plan, error) {
	p := planner{Plan: Plan{Steps: []Step{}}, prune: prune}
	there := index(current, func(o *Organization) string { return o.Name })
	var pairs []*pair
	for _, w := range wanted {
		i, exists := there[w.Name]
		has := Organization{Name: w.Name}
		if exists {
			has = current[i]
		}
		pairs = append(pairs, newPair(w, has))
		p.organization(pairs[len(pairs)-1], exists)
	}
	p.checkCertificates(pairs)
	return p.Plan, errors.Join(p.problems...)
}

// index returns where each name is.
func index[T any](all []T, nameOf func(*T) string) map[string]int {
	at := make(map[string]int, len(all))
	for i := range all {
		at[nameOf(&all[i])] = i
	}
	return at
}

// pair is an organization as it is wanted and as it is.
type pair struct {
	wanted, has     Organization
	wantedInstances map[string]int // where they are
	hasInstances    map[string]int
	wantedKeys      map[string]int
	live            map[string][]Key // what it has by name, without those that are revoked
	keys            int              // how many of these
}

func newPair(wanted, has Organization) *pair {
	o := &pair{wanted: wanted, has: has, live: map[string][]Key{},
		wantedInstances: index(wanted.Instances, instanceName), hasInstances: index(has.Instances, instanceName), wantedKeys: index(wanted.Keys, keyName)}
	for _, k := range has.Keys {
		if k.RevokedAt.IsZero() {
			o.live[k.Name] = append(o.live[k.Name], k)
			o.keys++
		}
	}
	return o
}

// planner collects the steps.
type planner struct {
	Plan
	prune    bool
	problems []error
}

func (p *planner) wrong(format string, args ...any) {
	p.problems = append(p.problems, fmt.Errorf(format, args...))
}

// organization plans one. What makes room for others, or lets them be, comes first.
func (p *planner) organization(o *pair, exists bool) {
	name := o.wanted.Name
	if exists && !o.wanted.HasQuota {
		o.wanted.Quota = o.has.Quota
	}
	p.checkKeys(o)
	p.checkRoom(o)
	p.settle(exists, Step{Kind: OfOrganization, Org: name, Version: o.has.Version}, diff(quotaFields(), &o.has.Quota, &o.wanted.Quota))
	var late []Step
	if p.prune {
		p.pruneKeys(o)
		late = p.pruneInstances(o)
	}
	for _, in := range o.wanted.Instances {
		var was Instance
		i, exists := o.hasInstances[in.Name]
		if exists {
			was = o.has.Instances[i]
		}
		p.settle(exists, Step{Kind: OfInstance, Org: name, Name: in.Name, Version: was.Version}, diff(instanceFields(), &was, &in))
	}
	from := len(p.Steps)
	for _, k := range o.wanted.Keys {
		was := append(o.live[k.Name], Key{})[0]
		p.settle(was.ID != "", Step{Kind: OfKey, Org: name, Name: k.Name, ID: was.ID, Version: was.Version}, diff(keyFields(), &was, &k))
	}
	// A certificate's name is given away before another key gets it.
	slices.SortStableFunc(p.Steps[from:], func(a, b Step) int { return b.releases() - a.releases() })
	p.Steps = append(p.Steps, late...)
}

// settle adds a step, if it changes anything.
func (p *planner) settle(exists bool, s Step, changes []Change) {
	switch {
	case !exists:
		s.Action = Create
	case len(changes) > 0:
		s.Action = Update
	default:
		p.Unchanged++
		return
	}
	s.Changes = changes
	p.Steps = append(p.Steps, s)
}

// checkKeys refuses keys of which nobody can tell what is meant.
func (p *planner) checkKeys(o *pair) {
	for _, k := range o.wanted.Keys {
		if n := len(o.live[k.Name]); n > 1 {
			p.wrong("organization %s has %d keys that are called %s: rename, revoke or delete all but one, by their ids", o.wanted.Name, n, k.Name)
		}
		for _, name := range k.Instances {
			_, wanted := o.wantedInstances[name]
			switch _, there := o.hasInstances[name]; {
			case wanted, there && !p.prune:
			case there:
				p.wrong("%s: instance %q is to be deleted, since it is not in the file", k.at, name)
			default:
				p.wrong("%s: there is no instance %q, and none in the file", k.at, name)
			}
		}
	}
}

// checkCertificates refuses names of certificates that keys have which stay as they are.
func (p *planner) checkCertificates(pairs []*pair) {
	taken := map[string]string{}
	for _, o := range pairs {
		for _, k := range o.has.Keys {
			if _, wanted := o.wantedKeys[k.Name]; !wanted && !p.prune && k.RevokedAt.IsZero() && k.CertificateName != "" {
				taken[k.CertificateName] = o.wanted.Name + "/" + k.Name
			}
		}
	}
	for _, o := range pairs {
		for _, k := range o.wanted.Keys {
			if by := taken[k.CertificateName]; by != "" {
				p.wrong("key %s/%s: certificate name %q is that of key %s, which is not in the file", o.wanted.Name, k.Name, k.CertificateName, by)
			}
		}
	}
}

// checkRoom refuses more than an organization may have.
func (p *planner) checkRoom(o *pair) {
	newInstances, newKeys := 0, 0
	for name := range o.wantedInstances {
		if _, there := o.hasInstances[name]; !there {
			newInstances++
		}
	}
	for name := range o.wantedKeys {
		if len(o.live[name]) == 0 {
			newKeys++
		}
	}
	for _, c := range []struct {
		what                   string
		most, had, wanted, new int
	}{
		{"instances", o.wanted.Quota.MaxInstances, len(o.has.Instances), len(o.wanted.Instances), newInstances},
		{"keys", o.wanted.Quota.MaxKeys, o.keys, len(o.wanted.Keys), newKeys},
	} {
		after := c.had + c.new
		if p.prune {
			after = c.wanted
		}
		if c.most > 0 && c.new > 0 && after > c.most {
			p.wrong("organization %s may have %d %s, and would have %d", o.wanted.Name, c.most, c.what, after)
		}
	}
}

// pruneKeys deletes the keys that nobody wants; revoked ones are over already.
func (p *planner) pruneKeys(o *pair) {
	for _, name := range slices.Sorted(maps.Keys(o.live)) {
		if _, wanted := o.wantedKeys[name]; wanted {
			continue
		}
		for _, k := range o.live[name] {
			p.Steps = append(p.Steps, Step{Action: Delete, Kind: OfKey, Org: o.wanted.Name, Name: k.Name, ID: k.ID, Version: k.Version})
		}
	}
}

// pruneInstances deletes the instances that nobody wants, and returns the steps that are for
// later: keys which stay open these until they are changed.
func (p *planner) pruneInstances(o *pair) (late []Step) {
	stays, revoked := map[string]bool{}, map[string]bool{} // the names of instances that such keys open
	for _, k := range o.has.Keys {
		_, wanted := o.wantedKeys[k.Name]
		for _, name := range k.Instances {
			stays[name] = stays[name] || wanted && k.RevokedAt.IsZero()
			revoked[name] = revoked[name] || !k.RevokedAt.IsZero()
		}
	}
	for _, in := range o.has.Instances {
		s := Step{Action: Delete, Kind: OfInstance, Org: o.wanted.Name, Name: in.Name, Version: in.Version, Force: revoked[in.Name]}
		switch _, wanted := o.wantedInstances[in.Name]; {
		case wanted:
		case stays[in.Name]:
			late = append(late, s)
		default:
			p.Steps = append(p.Steps, s)
		}
	}
	return late
}

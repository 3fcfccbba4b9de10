package api

import (
	"github.com/danielgtaylor/huma/v2"

	"github.com/respgate/respgate/tenant"
)

// word is what a field means.
type word struct {
	doc     string
	example any
	enum    []any
}

// explain describes a schema's fields.
func explain(name string, s *huma.Schema) {
	words := glossary()
	for field, p := range s.Properties {
		w, ok := words[name+"."+field]
		if !ok {
			w = words[field]
		}
		p.Description, p.Examples = w.doc, nil
		if w.example != nil {
			p.Examples = []any{w.example}
		}
		p.Enum = w.enum
		if p.Type == huma.TypeArray {
			p.Nullable = false
		}
		if p.Ref == "" {
			p.PrecomputeMessages()
		}
	}
}

// glossary has the words of the API, as field or Schema.field: the same field means the same
// everywhere else.
func glossary() map[string]word {
	all := map[string]word{}
	for _, part := range []map[string]word{wordsOfAll(), wordsOfKeys(), wordsOfUsers(), wordsOfLive(), wordsOfPictures(), wordsOfTops(), wordsOfSlowLogs()} {
		for field, w := range part {
			all[field] = w
		}
	}
	return all
}

const (
	exampleTime = "2026-01-31T12:00:00Z"
	exampleID   = "2UzDGFq7ZTkB"
)

func wordsOfAll() map[string]word {
	return map[string]word{
		"id":         {doc: "12 characters of base62", example: exampleID},
		"org":        {doc: "the organization's name", example: "acme"},
		"org_id":     {doc: "the organization's id; empty: it concerns none", example: exampleID},
		"version":    {doc: "grows by one with each change", example: 3},
		"created_at": {doc: "when it was made, in UTC", example: exampleTime},
		"deleted_at": {doc: "when it was deleted; null: it is there"},
		"items":      {doc: "the page's items"},
		"next":       {doc: "send it as cursor for the next page; empty: this is the last", example: ""},

		"name":                     {doc: "1 to 63 of a-z, 0-9, '.', '-' and '_', beginning and ending with a letter or digit", example: "web"},
		"Organization.name":        {doc: "its name, in paths", example: "acme"},
		"OrganizationCreate.name":  {doc: "1 to 63 of a-z, 0-9, '.', '-' and '_', beginning and ending with a letter or digit", example: "acme"},
		"OrganizationPatch.name":   {doc: "1 to 63 of a-z, 0-9, '.', '-' and '_', beginning and ending with a letter or digit", example: "acme"},
		"max_instances":            {doc: "how many instances it may have; 0 is unlimited", example: 10},
		"max_keys":                 {doc: "how many keys that are not revoked it may have; 0 is unlimited", example: 100},
		"max_members":              {doc: "how many members it may have; 0 is unlimited", example: 20},
		"max_connections":          {doc: "how many connections there may be at once to a proxy; 0 is unlimited", example: 1000},
		"OrganizationCreate.rate":  {doc: "commands per second, with all its keys together: to each proxy, or to all that share limits; 0 is unlimited", example: 1000},
		"OrganizationPatch.rate":   {doc: "commands per second, with all its keys together: to each proxy, or to all that share limits; 0 is unlimited", example: 1000},
		"Organization.rate":        {doc: "commands per second, with all its keys together: to each proxy, or to all that share limits; 0 is unlimited", example: 1000},
		"OrganizationCreate.burst": {doc: "commands at once; 0 is as many as rate", example: 2000},
		"OrganizationPatch.burst":  {doc: "commands at once; 0 is as many as rate", example: 2000},
		"Organization.burst":       {doc: "commands at once; 0 is as many as rate", example: 2000},

		"Instance.name":       {doc: "its name, in paths and as AUTH's user name", example: "cache"},
		"InstanceCreate.name": {doc: "1 to 63 of a-z, 0-9, '.', '-' and '_', beginning and ending with a letter or digit; not default", example: "cache"},
		"InstancePatch.name":  {doc: "1 to 63 of a-z, 0-9, '.', '-' and '_', beginning and ending with a letter or digit; not default", example: "cache"},
		"Instance.url":        {doc: "where it is, without the password", example: "redis://app:xxxxx@10.0.0.5:6379/0"},                                                                                     //nolint:gosec // an example
		"url":                 {doc: "redis://, rediss://, redis-sentinel://, rediss-sentinel://, redis-cluster:// or rediss-cluster://, with its password", example: "redis://app:secret@10.0.0.5:6379/0"}, //nolint:gosec // an example

		"Organization.byte_rate":       {doc: "bytes of commands and replies per second, with all its keys together: through each proxy, or all that share limits; 0 is unlimited", example: 10485760},
		"OrganizationCreate.byte_rate": {doc: "bytes of commands and replies per second, with all its keys together: through each proxy, or all that share limits; 0 is unlimited", example: 10485760},
		"OrganizationPatch.byte_rate":  {doc: "bytes of commands and replies per second, with all its keys together: through each proxy, or all that share limits; 0 is unlimited", example: 10485760},
		"limit_mode":                   {doc: "what happens to commands beyond its limits: they are refused, they wait, or (dry_run) they are counted only; empty follows the proxy's setting", example: "reject", enum: limitModes()},

		"cache_bytes":          {doc: "how much of it each proxy may keep in a near cache, in bytes; 0 is no cache", example: 67108864},
		"slowlog_threshold_us": {doc: "the slow log keeps commands whose time is so many microseconds or more, as Redis's slowlog-log-slower-than: 0 is every command, -1 none; null follows the proxy's setting", example: 10000},

		"same": {doc: "whether it is that one", example: true},

		"Probe.name":    {doc: "the instance's name", example: "cache"},
		"reachable":     {doc: "whether a PING was answered"},
		"error":         {doc: "why not"},
		"Probe.version": {doc: "of the Redis", example: "7.0.15"},
		"mode":          {doc: "of the Redis: standalone, sentinel or cluster", example: "standalone"},
		"Probe.role":    {doc: "of the server that was connected to", example: "master"},
		"primaries":     {doc: "how many servers there are to write to, of several; all were connected to", example: 3},
		"connect_ms":    {doc: "how long it took to dial, authenticate and PING", example: 1.2},
		"ping_ms":       {doc: "how long a PING took, the median of several", example: 0.2},
		"warnings":      {doc: "what should be otherwise"},

		"Problem.type":      {doc: "what kind of problem it is; none: the status says it"},
		"Problem.title":     {doc: "the status in words", example: "Not Found"},
		"Problem.status":    {doc: "the HTTP status", example: 404},
		"Problem.detail":    {doc: "what is the matter, for people", example: `organization "acme" not found`},
		"Problem.instance":  {doc: "never set"},
		"Problem.errors":    {doc: "what is wrong with what was sent, where it can be told"},
		"location":          {doc: "where it is wrong", example: "body.name"},
		"message":           {doc: "what is wrong", example: "expected string"},
		"ErrorDetail.value": {doc: "never set"},
	}
}

func limitModes() []any {
	modes := []any{""}
	for _, name := range tenant.LimitModes() {
		modes = append(modes, name)
	}
	return modes
}

func wordsOfKeys() map[string]word {
	return map[string]word{
		"instances":          {doc: "names of the instances that it opens; the first is its own", example: []string{"cache"}},
		"rate":               {doc: "commands per second; null follows the proxy's default, 0 is unlimited", example: 100},
		"byte_rate":          {doc: "bytes of commands and replies per second; null follows the proxy's default, 0 is unlimited", example: 1048576},
		"burst":              {doc: "commands at once; null is as many as rate", example: 200},
		"commands":           {doc: "what it may run, as Redis ACL rules", example: "+@all -@dangerous"},
		"KeyCreate.commands": {doc: "what it may run, as Redis ACL rules; left out: the default", example: "+@all -@dangerous"},
		"KeyPatch.commands":  {doc: "what it may run, as Redis ACL rules; null: the default", example: "+@all -@dangerous"},
		"allow_from":         {doc: "networks and addresses that its clients may come from; empty: anywhere", example: []string{"10.0.0.0/8"}},
		"certificate_name":   {doc: "what a client's certificate must be named to open it without its secret; empty is none", example: ""},
		"audit":              {doc: "rules of the commands that are noted in the audit log; empty is none", example: "+@write"},
		"expires_at":         {doc: "when it ends; null is never"},
		"revoked_at":         {doc: "when it was revoked; null: it is live"},
		"previous_until":     {doc: "until when the secret before the last rotation is good; null: it is not"},
		"last_used_at":       {doc: "when it was last used, to the minute or a little more; null is never"},
		"NewKey.key":         {doc: "the key itself: what a client sends. It is told this once", example: "rg_…"},
		"overlap_seconds":    {doc: "for how long the old secret is good besides the new one; 0: it ends now", example: 3600},
		"keys":               {doc: "of how many keys", example: 1},
	}
}

func wordsOfUsers() map[string]word {
	var roles []any
	for _, r := range tenant.Roles() {
		roles = append(roles, string(r))
	}
	return map[string]word{
		"role":                   {doc: "a viewer sees, an admin changes instances and keys too, an owner also members and the organization", example: "admin", enum: roles},
		"user_id":                {doc: "the user's id", example: exampleID},
		"email":                  {doc: "the e-mail address, in lower case", example: "ann@example.com"},
		"User.name":              {doc: "for people; may be empty", example: "Ann"},
		"UserCreate.name":        {doc: "for people", example: "Ann"},
		"UserPatch.name":         {doc: "for people", example: "Ann"},
		"operator":               {doc: "may do everything in all organizations", example: false},
		"disabled":               {doc: "may not sign in, nor use tokens", example: false},
		"disabled_at":            {doc: "since when the user may not sign in; null: the user may"},
		"password":               {doc: "the password, of 12 bytes or more"},
		"old":                    {doc: "the password so far"},
		"new":                    {doc: "the password from now on, of 12 bytes or more"},
		"invitation":             {doc: "the invitation's token", example: "rgt_…"},
		"kind":                   {doc: "api is for programs, session a browser that has signed in, invite an invitation", example: "api", enum: []any{"api", "session", "invite"}},
		"Token.name":             {doc: "for people; may be empty", example: "deploy"},
		"NewToken.name":          {doc: "for people; may be empty", example: "deploy"},
		"TokenCreate.name":       {doc: "for people", example: "deploy"},
		"Token.rate":             {doc: "requests per second; 0 follows the default", example: 0},
		"NewToken.rate":          {doc: "requests per second; 0 follows the default", example: 0},
		"TokenCreate.rate":       {doc: "requests per second; 0 follows the default", example: 0},
		"Token.burst":            {doc: "requests at once; 0 follows the default", example: 0},
		"NewToken.burst":         {doc: "requests at once; 0 follows the default", example: 0},
		"TokenCreate.burst":      {doc: "requests at once; 0 follows the default", example: 0},
		"TokenCreate.expires_at": {doc: "when it ends, at most 366 days from now; left out: in 90 days", example: exampleTime},
		"NewToken.token":         {doc: "the token itself: what its bearer sends. It is told this once", example: "rgt_…"},
		"actor":                  {doc: "what kind of somebody it is", example: "user", enum: []any{"operator", "shell", "user", "key", "system", "nobody"}},
		"Me.user":                {doc: "whose the token is; not there for the operator's token"},
		"Me.token":               {doc: "the token"},
		"memberships":            {doc: "the user's roles in organizations"},
	}
}

func wordsOfLive() map[string]word {
	return map[string]word{
		"Session.id":     {doc: "the proxy's id, '-', and the client's, which CLIENT ID says", example: "Zb3kQ9-17"},
		"proxy":          {doc: "the id of the proxy whose client it is", example: "Zb3kQ9"},
		"key_id":         {doc: "the key's id", example: "5jX0sYq1Zb7K"},
		"key":            {doc: "the key's name", example: "web"},
		"instance":       {doc: "the instance's name", example: "cache"},
		"instance_id":    {doc: "the instance's id", example: exampleID},
		"address":        {doc: "where from", example: "10.1.2.3:50123"},
		"tls":            {doc: "over TLS", example: true},
		"Session.name":   {doc: "as of CLIENT SETNAME; empty is none", example: ""},
		"lib_name":       {doc: "the client library, where it says so", example: "redis-py"},
		"lib_version":    {doc: "its version", example: "5.0.1"},
		"protocol":       {doc: "of RESP", example: 3},
		"db":             {doc: "the selected database", example: 0},
		"connected_at":   {doc: "since when it is connected", example: exampleTime},
		"active_at":      {doc: "when it last sent something", example: exampleTime},
		"command":        {doc: "its last command", example: "get"},
		"unsent_bytes":   {doc: "of replies that it has not taken", example: 0},
		"state":          {doc: "what it is in: subscribed, multi, blocked, tracking, monitor, delayed", example: []string{"multi"}},
		"at":             {doc: "when it happened, in UTC", example: exampleTime},
		"Usage.at":       {doc: "when the step of time begins; null: all is one", example: exampleTime},
		"Usage.commands": {doc: "how many commands", example: 1234},
		"Usage.errors":   {doc: "of these, answered with an error", example: 5},
		"limited":        {doc: "of these, refused by a limit", example: 2},
		"bytes_in":       {doc: "from clients", example: 34567},
		"bytes_out":      {doc: "to clients", example: 123456},
		"seq":            {doc: "its place in the log", example: 42},
		"actor_id":       {doc: "the user's or the key's id; empty for others", example: exampleID},
		"actor_name":     {doc: "the user's e-mail address, the key's name, or the shell's user", example: "ann@example.com"},
		"token_id":       {doc: "the token that a user came with; empty is none", example: ""},
		"action":         {doc: "what was tried", example: "key.create"},
		"target":         {doc: "the kind of what it was done to", example: "key"},
		"target_id":      {doc: "its id", example: "5jX0sYq1Zb7K"},
		"Event.name":     {doc: "its name then", example: "web"},
		"Event.org":      {doc: "the organization's name then", example: "acme"},
		"before":         {doc: "how it was, without secrets; null is not there"},
		"after":          {doc: "how it is since, without secrets; null is not there"},
		"level":          {doc: "from which level on the log has lines", example: "info", enum: []any{"debug", "info", "warn", "error"}},
		"outcome":        {doc: "what came of it", example: "ok", enum: []any{"ok", "denied", "failed"}},
		"detail":         {doc: "why it was denied or failed, or how many events this one stands for", example: ""},
	}
}

func wordsOfPictures() map[string]word {
	return map[string]word{
		"Picture.proxy":        {doc: "the id of the proxy that answers: what clients do at others is not in it", example: "Zb3kQ9"},
		"hot_commands":         {doc: "the commands of the last point that were sent most, at most 8, the hottest first"},
		"points":               {doc: "a point for each second, the oldest first"},
		"Point.at":             {doc: "when the second ended, in UTC", example: exampleTime},
		"commands_per_second":  {doc: "commands of its clients", example: 812.3},
		"errors_per_second":    {doc: "commands answered with an error, refused ones too", example: 4.1},
		"limited_per_second":   {doc: "of these, refused by a limit", example: 4.1},
		"bytes_in_per_second":  {doc: "from clients", example: 51234.5},
		"bytes_out_per_second": {doc: "to clients", example: 128345.6},
		"p50_seconds":          {doc: "half of the commands that the instance answered took no longer, from being sent there to the reply; null: it answered none", example: 0.00018},
		"p99_seconds":          {doc: "99 of 100 took no longer; null: it answered none", example: 0.0021},
		"clients":              {doc: "that are connected", example: 40},
		"links":                {doc: "connections to the instance"},
		"shared":               {doc: "that many clients' commands go over", example: 2},
		"pinned":               {doc: "that one client at a time has for itself, for transactions and the like, and idle ones", example: 3},
		"subscriber":           {doc: "of clients that have subscribed", example: 1},
		"HotCommand.command":   {doc: "its name, without subcommands; other: not known to respgate", example: "get"},
		"per_second":           {doc: "how often it was sent", example: 512.5},
	}
}

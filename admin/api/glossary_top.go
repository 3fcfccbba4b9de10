package api

// estimated is what is said of all that is.
const estimated = "an estimate"

func wordsOfTops() map[string]word {
	return map[string]word{
		"TopTenants.proxy": {doc: "the id of the proxy that answers: what clients do at others is not in it", example: "Zb3kQ9"},
		"TopTenants.at":    {doc: "when the second ended, in UTC", example: exampleTime},
		"total":            {doc: "how many there are, of whom these are the first", example: 250},
		"tenants":          {doc: "instances and how they did, in the order that was asked for"},
		"TenantRow.at":     {doc: "when the second ended, in UTC", example: exampleTime},

		"InstanceTop.proxy":     {doc: "the id of the proxy that answers: what clients do at others is not in it", example: "Zb3kQ9"},
		"InstanceTop.commands":  {doc: "the commands of the last second or so, the most frequent first"},
		"InstanceTop.clients":   {doc: "the clients that send most, in order: " + estimated},
		"window_seconds":        {doc: "for how long what is estimated and what is big has been looked at: one to two minutes, less after a start", example: 95.2},
		"sample_every":          {doc: "one in so many commands is looked at for hot keys and clients; 0: none (insight.sample)", example: 32},
		"hot_keys":              {doc: "the keys that most commands name as their first, the hottest first: " + estimated},
		"big_keys":              {doc: "the longest commands that write, one for each key, the longest first"},
		"big_replies":           {doc: "the longest replies, one for each command and key, the longest first"},
		"HotKey.key":            {doc: "its first 128 bytes, those that are no UTF-8 as \\xff; or a keyed hash of it, as sha256:…, where the proxy is set so", example: "user:1000:cart"},
		"BigCommand.key":        {doc: "the first key that it names, as hot keys; empty: none", example: "user:1000:cart"},
		"key_cut":               {doc: "whether the key is longer", example: false},
		"error_per_second":      {doc: "how far per_second may be off, but for one in twenty", example: 12.5},
		"HotKey.per_second":     {doc: "commands: " + estimated, example: 512.5},
		"BusyClient.per_second": {doc: "commands: " + estimated, example: 512.5},
		"session_id":            {doc: "the client's session: see /sessions", example: "Zb3kQ9-17"},
		"BusyClient.name":       {doc: "as of CLIENT SETNAME; empty is none", example: ""},
		"BigCommand.name":       {doc: "as of CLIENT SETNAME; empty is none", example: ""},
		"BigCommand.command":    {doc: "its name", example: "set"},
		"BigCommand.at":         {doc: "when it was answered, in UTC", example: exampleTime},
		"bytes":                 {doc: "of the command, or of the reply", example: 1048576},
	}
}

func wordsOfSlowLogs() map[string]word {
	return map[string]word{
		"SlowLog.proxy":     {doc: "the id of the proxy that answers: it logs the commands of its own clients", example: "Zb3kQ9"},
		"entries":           {doc: "the newest first"},
		"SlowEntry.id":      {doc: "its number in the instance's slow log at this proxy, as SLOWLOG GET has it", example: 14},
		"SlowEntry.at":      {doc: "when it was answered, in UTC", example: exampleTime},
		"SlowEntry.command": {doc: "its name, with a subcommand as config|get; other: not known to respgate", example: "zrange"},
		"args":              {doc: "the command as it was sent: its first 32 arguments, of each the first 128 bytes, those that are no UTF-8 as \\xff, and no secrets", example: []string{"ZRANGE", "board", "0", "-1"}},
		"duration_us":       {doc: "microseconds that it took in the Redis: from being sent, or the reply to the command before it there, to its reply", example: 15230},
		"limited_us":        {doc: "microseconds that it waited for the limits of its key and organization, in the mode delay", example: 0},
		"waited_us":         {doc: "microseconds that it waited for a connection then", example: 0},
		"ahead_us":          {doc: "microseconds that it waited there for replies to earlier commands on its connection", example: 120},
		"total_us":          {doc: "microseconds of all four", example: 15350},
		"SlowEntry.name":    {doc: "of the client, as of CLIENT SETNAME; empty is none", example: ""},
		"size_bytes":        {doc: "of the command", example: 41},
		"reply_bytes":       {doc: "of its reply", example: 524288},
		"SlowEntry.error":   {doc: "the first word of the error that it was answered; empty: none", example: ""},
	}
}

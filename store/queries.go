package store

// QueryNames returns the names of all queries that an Observer may hear of.
func QueryNames() []string {
	return []string{
		"ping", "counts", "grant", "changes", "key_by_certificate",
		"create_organization", "organizations", "organizations_of", "organization", "update_organization", "delete_organization",
		"deleted_organizations", "restore_organization",
		"create_instance", "instances", "instance", "update_instance", "delete_instance", "deleted_instances", "restore_instance",
		"create_key", "keys", "key", "update_key", "rotate_key", "revoke_key", "delete_key", "reset_limits",
		"create_user", "users", "user", "user_by_email", "update_user", "delete_user",
		"set_member", "remove_member", "members", "memberships", "membership",
		"create_token", "token", "tokens", "revoke_token", "touch",
		"append_events", "events", "add_usage", "usage",
		"report_proxy", "forget_proxy", "proxies", "begin_move", "watch_move", "hold_move", "finish_move", "end_move",
		"claim", "answer", "release", "end_session", "purge", "export", "import",
	}
}

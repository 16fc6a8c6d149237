-- Generated from the queries and tables; see runtara_framework/storage/compiled.py.

-- instances
CREATE TABLE instances ( id INTEGER NOT NULL, instance_id TEXT NOT NULL, tenant_id TEXT NOT NULL, image_id TEXT, image_name TEXT, status TEXT NOT NULL, reason TEXT, epoch BIGINT DEFAULT '0' NOT NULL, node_id TEXT, created_at_ms BIGINT NOT NULL, started_at_ms BIGINT, finished_at_ms BIGINT, wake_at_ms BIGINT, wait_keys TEXT, heartbeat_at_ms BIGINT, running_since_ms BIGINT, running_ms BIGINT DEFAULT '0' NOT NULL, timeout_ms BIGINT, restarts INTEGER DEFAULT '0' NOT NULL, restart_seq BIGINT DEFAULT '0' NOT NULL, exit_code INTEGER, memory_peak_bytes BIGINT, cpu_usage_usec BIGINT, CONSTRAINT pk_instances PRIMARY KEY (id), CONSTRAINT uq_instances_instance_id UNIQUE (instance_id), CONSTRAINT ck_instances_finished_when_terminal CHECK ((finished_at_ms IS NULL) = (status IN ('pending', 'running', 'suspended'))) );

-- ix_instances_active
CREATE INDEX ix_instances_active ON instances (finished_at_ms) WHERE finished_at_ms IS NULL;

-- ix_instances_created
CREATE INDEX ix_instances_created ON instances (tenant_id, created_at_ms, id);

-- ix_instances_due
CREATE INDEX ix_instances_due ON instances (wake_at_ms, id) WHERE status = 'suspended' AND wake_at_ms IS NOT NULL;

-- ix_instances_finished
CREATE INDEX ix_instances_finished ON instances (tenant_id, finished_at_ms, id);

-- ix_instances_image
CREATE INDEX ix_instances_image ON instances (tenant_id, image_id, created_at_ms, id);

-- ix_instances_queue
CREATE INDEX ix_instances_queue ON instances (wake_at_ms, id, status, node_id, image_id) WHERE status = 'pending' AND node_id IS NULL AND image_id IS NOT NULL;

-- ix_instances_status
CREATE INDEX ix_instances_status ON instances (tenant_id, status, created_at_ms, id);

-- secrets
CREATE TABLE secrets ( name TEXT NOT NULL, value BLOB NOT NULL, CONSTRAINT pk_secrets PRIMARY KEY (name) );

-- checkpoints
CREATE TABLE checkpoints ( id INTEGER NOT NULL, instance INTEGER NOT NULL, checkpoint_id TEXT NOT NULL, created_at_ms BIGINT NOT NULL, state BLOB NOT NULL, CONSTRAINT pk_checkpoints PRIMARY KEY (id), CONSTRAINT uq_checkpoints_instance_checkpoint_id UNIQUE (instance, checkpoint_id), CONSTRAINT fk_checkpoints_instance FOREIGN KEY(instance) REFERENCES instances (id) ON DELETE CASCADE );

-- ix_checkpoints_order
CREATE INDEX ix_checkpoints_order ON checkpoints (instance, id);

-- custom_signals
CREATE TABLE custom_signals ( instance INTEGER NOT NULL, signal_key TEXT NOT NULL, created_at_ms BIGINT NOT NULL, payload BLOB NOT NULL, CONSTRAINT pk_custom_signals PRIMARY KEY (instance, signal_key), CONSTRAINT fk_custom_signals_instance FOREIGN KEY(instance) REFERENCES instances (id) ON DELETE CASCADE );

-- events
CREATE TABLE events ( id INTEGER NOT NULL, instance INTEGER NOT NULL, event_type TEXT NOT NULL, subtype TEXT, checkpoint_id TEXT, created_at_ms BIGINT NOT NULL, "key" TEXT, payload BLOB NOT NULL, CONSTRAINT pk_events PRIMARY KEY (id), CONSTRAINT fk_events_instance FOREIGN KEY(instance) REFERENCES instances (id) ON DELETE CASCADE );

-- ix_events_order
CREATE INDEX ix_events_order ON events (instance, id);

-- uq_events_key
CREATE UNIQUE INDEX uq_events_key ON events (instance, "key") WHERE key IS NOT NULL;

-- inputs
CREATE TABLE inputs ( instance INTEGER NOT NULL, env TEXT, input BLOB NOT NULL, CONSTRAINT pk_inputs PRIMARY KEY (instance), CONSTRAINT fk_inputs_instance FOREIGN KEY(instance) REFERENCES instances (id) ON DELETE CASCADE );

-- outcomes
CREATE TABLE outcomes ( instance INTEGER NOT NULL, error TEXT, stderr TEXT, output BLOB, CONSTRAINT pk_outcomes PRIMARY KEY (instance), CONSTRAINT fk_outcomes_instance FOREIGN KEY(instance) REFERENCES instances (id) ON DELETE CASCADE );

-- signals
CREATE TABLE signals ( id INTEGER NOT NULL, instance INTEGER NOT NULL, signal_type TEXT NOT NULL, payload BLOB NOT NULL, created_at_ms BIGINT NOT NULL, done_at_ms BIGINT, CONSTRAINT pk_signals PRIMARY KEY (id), CONSTRAINT fk_signals_instance FOREIGN KEY(instance) REFERENCES instances (id) ON DELETE CASCADE );

-- ix_signals_instance
CREATE INDEX ix_signals_instance ON signals (instance);

-- uq_signals_waiting
CREATE UNIQUE INDEX uq_signals_waiting ON signals (instance, signal_type) WHERE done_at_ms IS NULL;

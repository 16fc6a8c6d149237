-- Generated from the queries and tables; see runtara_framework/storage/compiled.py.

-- page
LIMIT :limit OFFSET :offset;

-- instances.lock
SELECT instances.id, instances.tenant_id, instances.status, instances.reason, instances.epoch, instances.node_id, instances.image_id, instances.created_at_ms, instances.started_at_ms, instances.wake_at_ms, instances.wait_keys, instances.running_since_ms, instances.heartbeat_at_ms, instances.restarts, instances.restart_seq, instances.memory_peak_bytes, instances.cpu_usage_usec FROM instances WHERE instances.instance_id = :instance_id;

-- instances.peek
SELECT instances.id, instances.tenant_id, instances.status, instances.reason, instances.epoch, instances.node_id, instances.image_id, instances.created_at_ms, instances.started_at_ms, instances.wake_at_ms, instances.wait_keys, instances.running_since_ms, instances.heartbeat_at_ms, instances.restarts, instances.restart_seq, instances.memory_peak_bytes, instances.cpu_usage_usec FROM instances WHERE instances.instance_id = :instance_id;

-- instances.full
SELECT instances.tenant_id, instances.instance_id, instances.image_id, instances.image_name, instances.status, instances.reason, instances.epoch, instances.created_at_ms, inputs.input, inputs.env, instances.started_at_ms, instances.finished_at_ms, instances.wake_at_ms, (SELECT checkpoints.checkpoint_id FROM checkpoints WHERE checkpoints.instance = instances.id ORDER BY checkpoints.id DESC LIMIT 1 OFFSET 0) AS anon_1, (SELECT count(*) AS count_1 FROM checkpoints WHERE checkpoints.instance = instances.id) AS anon_2, (SELECT max(checkpoints.id) AS max_1 FROM checkpoints WHERE checkpoints.instance = instances.id) AS anon_3, instances.restarts, instances.restart_seq, instances.timeout_ms, instances.running_ms, instances.heartbeat_at_ms, outcomes.output, outcomes.error, outcomes.stderr, instances.exit_code, instances.memory_peak_bytes, instances.cpu_usage_usec FROM instances JOIN inputs ON inputs.instance = instances.id LEFT OUTER JOIN outcomes ON outcomes.instance = instances.id WHERE instances.id = :id;

-- instances.get
SELECT instances.tenant_id, instances.instance_id, instances.image_id, instances.image_name, instances.status, instances.reason, instances.epoch, instances.created_at_ms, inputs.input, inputs.env, instances.started_at_ms, instances.finished_at_ms, instances.wake_at_ms, (SELECT checkpoints.checkpoint_id FROM checkpoints WHERE checkpoints.instance = instances.id ORDER BY checkpoints.id DESC LIMIT 1 OFFSET 0) AS anon_1, (SELECT count(*) AS count_1 FROM checkpoints WHERE checkpoints.instance = instances.id) AS anon_2, (SELECT max(checkpoints.id) AS max_1 FROM checkpoints WHERE checkpoints.instance = instances.id) AS anon_3, instances.restarts, instances.restart_seq, instances.timeout_ms, instances.running_ms, instances.heartbeat_at_ms, outcomes.output, outcomes.error, outcomes.stderr, instances.exit_code, instances.memory_peak_bytes, instances.cpu_usage_usec FROM instances JOIN inputs ON inputs.instance = instances.id LEFT OUTER JOIN outcomes ON outcomes.instance = instances.id WHERE instances.instance_id = :instance_id AND instances.tenant_id = :tenant_id;

-- instances.create
INSERT INTO instances (instance_id, tenant_id, image_id, image_name, status, created_at_ms, wake_at_ms, timeout_ms) SELECT :instance_id AS anon_1, :tenant_id AS anon_2, images.image_id, images.name, 'pending', :now_ms AS anon_3, :now_ms AS anon_4, :timeout_ms AS anon_5 FROM images WHERE images.image_id = :image_id AND images.tenant_id = :tenant_id AND (SELECT count(*) AS count_1 FROM (SELECT 1 FROM instances WHERE instances.status = 'pending' AND instances.node_id IS NULL AND instances.image_id IS NOT NULL LIMIT :max_pending OFFSET 0) AS anon_6) < :max_pending ON CONFLICT DO NOTHING RETURNING id, image_name;

-- instances.create_alone
INSERT INTO instances (instance_id, tenant_id, status, created_at_ms, wake_at_ms, timeout_ms) VALUES (:instance_id, :tenant_id, 'pending', :now_ms, :now_ms, :timeout_ms) ON CONFLICT DO NOTHING RETURNING id;

-- instances.put_input
INSERT INTO inputs (instance, env, input) VALUES (:instance, :env, :input);

-- instances.move
UPDATE instances SET status=:after, reason=:reason, epoch=:new_epoch, node_id=:new_node_id, started_at_ms=coalesce(instances.started_at_ms, :new_started_at_ms), finished_at_ms=:new_finished_at_ms, wake_at_ms=:new_wake_at_ms, wait_keys=:new_wait_keys, running_since_ms=:new_running_since_ms, running_ms=(instances.running_ms + :ran_ms) WHERE instances.id = :id AND instances.status = :before AND instances.epoch = :for_epoch;

-- instances.count_restart
UPDATE instances SET restarts=:new_restarts, restart_seq=:new_restart_seq WHERE instances.id = :id;

-- instances.put_usage
UPDATE instances SET exit_code=:new_exit_code, memory_peak_bytes=:new_memory_peak_bytes, cpu_usage_usec=:new_cpu_usage_usec WHERE instances.id = :id;

-- instances.put_outcome
INSERT INTO outcomes (instance, error, output) VALUES (:instance, :error, :output) ON CONFLICT (instance) DO UPDATE SET error = :error, output = :output;

-- instances.put_stderr
INSERT INTO outcomes (instance, stderr) VALUES (:instance, :stderr) ON CONFLICT (instance) DO UPDATE SET stderr = :stderr;

-- instances.heartbeat
UPDATE instances SET heartbeat_at_ms=:now_ms WHERE instances.instance_id = :for_instance_id AND instances.tenant_id = :for_tenant_id AND instances.epoch = :for_epoch;

-- instances.count_active
SELECT count(*) AS count_1 FROM instances WHERE instances.finished_at_ms IS NULL;

-- instances.put_secret
INSERT INTO secrets (name, value) VALUES (:name, :value) ON CONFLICT DO NOTHING;

-- instances.get_secret
SELECT secrets.value FROM secrets WHERE secrets.name = :name;

-- instances.list
SELECT instances.id, instances.tenant_id, instances.instance_id, instances.image_id, instances.image_name, instances.status, instances.reason, instances.created_at_ms, instances.started_at_ms, instances.finished_at_ms, instances.wake_at_ms, outcomes.error IS NOT NULL AS has_error FROM instances LEFT OUTER JOIN outcomes ON outcomes.instance = instances.id WHERE instances.tenant_id = :tenant_id;

-- instances.list.count
SELECT count(*) AS count_1 FROM instances WHERE instances.tenant_id = :tenant_id;

-- instances.list.where.status
instances.status = :status;

-- instances.list.where.image_id
instances.image_id = :image_id;

-- instances.list.where.image_name_prefix
substr(instances.image_name, 1, length(:image_name_prefix)) = :image_name_prefix;

-- instances.list.where.created_after_ms
instances.created_at_ms >= :created_after_ms;

-- instances.list.where.created_before_ms
instances.created_at_ms < :created_before_ms;

-- instances.list.where.finished_after_ms
instances.finished_at_ms >= :finished_after_ms;

-- instances.list.where.finished_before_ms
instances.finished_at_ms < :finished_before_ms;

-- instances.list.where.finished
instances.finished_at_ms IS NOT NULL;

-- instances.list.where.unfinished
instances.finished_at_ms IS NULL;

-- instances.list.where.before
(instances.created_at_ms, instances.id) < (:key_ms, :key_id);

-- instances.list.where.after
(instances.created_at_ms, instances.id) > (:key_ms, :key_id);

-- instances.list.where.finished_before
(instances.finished_at_ms, instances.id) < (:key_ms, :key_id);

-- instances.list.where.finished_after
(instances.finished_at_ms, instances.id) > (:key_ms, :key_id);

-- instances.list.where.id_before
instances.id < :key_id;

-- instances.list.where.id_after
instances.id > :key_id;

-- instances.list.order.created_at_desc
instances.created_at_ms DESC, instances.id DESC;

-- instances.list.order.created_at_asc
instances.created_at_ms, instances.id;

-- instances.list.order.finished_at_desc
instances.finished_at_ms DESC, instances.id DESC;

-- instances.list.order.finished_at_asc
instances.finished_at_ms, instances.id;

-- instances.list.order.id_desc
instances.id DESC;

-- instances.list.order.id_asc
instances.id;

-- launches.queue
SELECT instances.id, instances.tenant_id, instances.instance_id, instances.epoch, instances.timeout_ms, instances.running_ms, inputs.env, CASE WHEN (instances.restarts = 0) THEN 0 WHEN (EXISTS (SELECT * FROM checkpoints WHERE checkpoints.instance = instances.id AND checkpoints.id > instances.restart_seq)) THEN 0 ELSE instances.restarts END AS anon_1, EXISTS (SELECT * FROM signals WHERE signals.instance = instances.id AND signals.signal_type = 'cancel' AND signals.done_at_ms IS NULL) AS anon_2, images.image_id, images.tenant_id AS tenant_id_1, images.name, images.runner_type, images.sha256, images.size_bytes, images.created_at_ms, images.description, images.manifest, images.metadata FROM instances JOIN images ON images.image_id = instances.image_id JOIN inputs ON inputs.instance = instances.id WHERE instances.status = 'pending' AND instances.node_id IS NULL AND instances.image_id IS NOT NULL AND instances.wake_at_ms <= :now_ms ORDER BY instances.wake_at_ms, instances.id LIMIT :limit OFFSET 0;

-- launches.claim
UPDATE instances SET epoch=:new_epoch, node_id=:node_id WHERE instances.id = :for_id AND instances.epoch = :new_epoch - 1;

-- launches.add
INSERT INTO launches (instance, epoch, node_id, claimed_at_ms) VALUES (:instance, :epoch, :node_id, :now_ms);

-- launches.keep_handle
UPDATE launches SET handle=:new_handle WHERE launches.instance = (SELECT instances.id FROM instances WHERE instances.instance_id = :instance_id AND instances.tenant_id = :tenant_id) AND launches.epoch = :for_epoch AND launches.ended_at_ms IS NULL;

-- launches.end
UPDATE launches SET ended_at_ms=:now_ms, exit_code=:new_exit_code, exit_signal=:new_exit_signal, cpu_usec=:new_cpu_usec, memory_peak_bytes=:new_memory_peak_bytes WHERE launches.instance = :for_instance AND launches.epoch = :for_epoch AND launches.ended_at_ms IS NULL;

-- launches.exists
SELECT launches.epoch FROM launches WHERE launches.instance = :instance AND launches.epoch = :epoch;

-- launches.live
SELECT instances.tenant_id, instances.instance_id, launches.epoch, launches.node_id, launches.claimed_at_ms, inputs.env, instances.timeout_ms, instances.running_ms, CASE WHEN (instances.restarts = 0) THEN 0 WHEN (EXISTS (SELECT * FROM checkpoints WHERE checkpoints.instance = instances.id AND checkpoints.id > instances.restart_seq)) THEN 0 ELSE instances.restarts END AS anon_1, EXISTS (SELECT * FROM signals WHERE signals.instance = instances.id AND signals.signal_type = 'cancel' AND signals.done_at_ms IS NULL) AS anon_2, launches.handle, images.image_id, images.tenant_id AS tenant_id_1, images.name, images.runner_type, images.sha256, images.size_bytes, images.created_at_ms, images.description, images.manifest, images.metadata FROM launches JOIN instances ON instances.id = launches.instance JOIN images ON images.image_id = instances.image_id JOIN inputs ON inputs.instance = instances.id WHERE launches.node_id = :node_id AND launches.ended_at_ms IS NULL ORDER BY launches.claimed_at_ms, launches.instance;

-- wake.due
SELECT instances.id, instances.tenant_id, instances.instance_id FROM instances WHERE instances.status = 'suspended' AND instances.wake_at_ms IS NOT NULL AND instances.wake_at_ms <= :now_ms ORDER BY instances.wake_at_ms, instances.id LIMIT :limit OFFSET 0;

-- wake.claim
UPDATE instances SET status='pending', reason=NULL, node_id=NULL, wait_keys=NULL WHERE instances.id = :for_id AND instances.status = 'suspended';

-- wake.next_wake
SELECT min(instances.wake_at_ms) AS min_1 FROM instances WHERE instances.status = 'suspended' AND instances.wake_at_ms IS NOT NULL AND instances.wake_at_ms > :after_ms;

-- wake.next_queued
SELECT min(instances.wake_at_ms) AS min_1 FROM instances WHERE instances.status = 'pending' AND instances.node_id IS NULL AND instances.image_id IS NOT NULL AND instances.wake_at_ms > :after_ms;

-- checkpoints.save
INSERT INTO checkpoints (instance, checkpoint_id, created_at_ms, state) SELECT instances.id, :checkpoint_id AS anon_1, :now_ms AS anon_2, :state AS anon_3 FROM instances WHERE instances.instance_id = :instance_id AND instances.tenant_id = :tenant_id AND instances.epoch = :epoch AND instances.status = 'running' ON CONFLICT DO NOTHING RETURNING instance, EXISTS (SELECT 1 FROM signals WHERE signals.instance = checkpoints.instance AND signals.done_at_ms IS NULL) AS signals_wait;

-- checkpoints.add
INSERT INTO checkpoints (instance, checkpoint_id, created_at_ms, state) VALUES (:instance, :checkpoint_id, :now_ms, :state);

-- checkpoints.state
SELECT checkpoints.state FROM checkpoints WHERE checkpoints.instance = :instance AND checkpoints.checkpoint_id = :checkpoint_id;

-- checkpoints.exists
SELECT checkpoints.id FROM checkpoints WHERE checkpoints.instance = :instance AND checkpoints.checkpoint_id = :checkpoint_id;

-- checkpoints.get
SELECT checkpoints.id, checkpoints.state, checkpoints.created_at_ms FROM checkpoints WHERE checkpoints.instance = :instance AND checkpoints.checkpoint_id = :checkpoint_id;

-- checkpoints.newest
SELECT checkpoints.id, checkpoints.created_at_ms FROM checkpoints WHERE checkpoints.instance = :instance ORDER BY checkpoints.id DESC LIMIT 1 OFFSET 0;

-- checkpoints.after
SELECT checkpoints.checkpoint_id, checkpoints.id, checkpoints.state, checkpoints.created_at_ms FROM checkpoints WHERE checkpoints.instance = :instance AND checkpoints.id > :after_seq ORDER BY checkpoints.id;

-- checkpoints.list
SELECT checkpoints.checkpoint_id, checkpoints.id, length(checkpoints.state) AS length_1, checkpoints.created_at_ms FROM checkpoints WHERE checkpoints.instance = :instance;

-- checkpoints.list.count
SELECT count(*) AS count_1 FROM checkpoints WHERE checkpoints.instance = :instance;

-- checkpoints.list.where.checkpoint_id
checkpoints.checkpoint_id = :checkpoint_id;

-- checkpoints.list.where.created_after_ms
checkpoints.created_at_ms >= :created_after_ms;

-- checkpoints.list.where.created_before_ms
checkpoints.created_at_ms < :created_before_ms;

-- checkpoints.list.order.newest
checkpoints.id DESC;

-- signals.add
INSERT INTO signals (instance, signal_type, payload, created_at_ms) VALUES (:instance, :signal_type, :payload, :now_ms) RETURNING id;

-- signals.waiting
SELECT signals.id, signals.signal_type, signals.payload, signals.created_at_ms FROM signals WHERE signals.instance = :instance AND signals.done_at_ms IS NULL ORDER BY CASE WHEN (signals.signal_type = 'cancel') THEN 0 ELSE signals.id END, signals.id;

-- signals.waiting_types
SELECT signals.signal_type FROM signals WHERE signals.instance = :instance AND signals.done_at_ms IS NULL;

-- signals.finish
UPDATE signals SET done_at_ms=:now_ms WHERE signals.instance = :for_instance AND signals.signal_type = :for_type AND signals.done_at_ms IS NULL;

-- signals.put_custom
INSERT INTO custom_signals (instance, signal_key, created_at_ms, payload) VALUES (:instance, :signal_key, :now_ms, :payload) ON CONFLICT (instance, signal_key) DO UPDATE SET created_at_ms = :now_ms, payload = :payload;

-- signals.has_custom
SELECT custom_signals.signal_key FROM custom_signals WHERE custom_signals.instance = :instance AND custom_signals.signal_key = :signal_key;

-- signals.take_custom
DELETE FROM custom_signals WHERE custom_signals.instance = :instance AND custom_signals.signal_key = :signal_key RETURNING payload;

-- events.add
INSERT INTO events (instance, event_type, subtype, checkpoint_id, created_at_ms, "key", payload) VALUES (:instance, :event_type, :subtype, :checkpoint_id, :now_ms, :key, :payload) ON CONFLICT DO NOTHING;

-- events.list
SELECT events.id, events.event_type, events.subtype, events.checkpoint_id, events.payload, events.created_at_ms FROM events WHERE events.instance = :instance;

-- events.list.count
SELECT count(*) AS count_1 FROM events WHERE events.instance = :instance;

-- events.list.where.event_type
events.event_type = :event_type;

-- events.list.where.subtype
events.subtype = :subtype;

-- events.list.where.after_event_id
events.id > :after_event_id;

-- events.list.where.created_after_ms
events.created_at_ms >= :created_after_ms;

-- events.list.where.created_before_ms
events.created_at_ms < :created_before_ms;

-- events.list.where.payload_contains
runtara_contains(events.payload, :payload_contains);

-- events.list.order.oldest
events.id;

-- events.list.order.newest
events.id DESC;

-- images.put
INSERT INTO images (image_id, tenant_id, name, runner_type, sha256, size_bytes, created_at_ms, description, manifest, metadata) VALUES (:image_id, :tenant_id, :name, :runner_type, :sha256, :size_bytes, :created_at_ms, :description, :manifest, :metadata);

-- images.by_id
SELECT images.image_id, images.tenant_id, images.name, images.runner_type, images.sha256, images.size_bytes, images.created_at_ms, images.description, images.manifest, images.metadata FROM images WHERE images.image_id = :image_id AND images.tenant_id = :tenant_id;

-- images.lock
SELECT images.id FROM images WHERE images.image_id = :image_id AND images.tenant_id = :tenant_id;

-- images.newest
SELECT images.image_id, images.tenant_id, images.name, images.runner_type, images.sha256, images.size_bytes, images.created_at_ms, images.description, images.manifest, images.metadata FROM images WHERE images.tenant_id = :tenant_id AND images.name = :name ORDER BY images.created_at_ms DESC, images.id DESC LIMIT 1 OFFSET 0;

-- images.active
SELECT instances.id FROM instances WHERE instances.tenant_id = :tenant_id AND instances.image_id = :image_id AND (instances.status = 'pending' OR instances.status = 'running' OR instances.status = 'suspended') LIMIT 1 OFFSET 0;

-- images.launched
SELECT launches.instance FROM launches JOIN instances ON instances.id = launches.instance WHERE launches.ended_at_ms IS NULL AND instances.tenant_id = :tenant_id AND instances.image_id = :image_id LIMIT 1 OFFSET 0;

-- images.delete
DELETE FROM images WHERE images.image_id = :image_id AND images.tenant_id = :tenant_id;

-- images.uses
SELECT images.id FROM images WHERE images.sha256 = :sha256 LIMIT 1 OFFSET 0;

-- images.list
SELECT images.image_id, images.tenant_id, images.name, images.runner_type, images.sha256, images.size_bytes, images.created_at_ms, images.description, images.manifest, images.metadata FROM images WHERE images.tenant_id = :tenant_id;

-- images.list.count
SELECT count(*) AS count_1 FROM images WHERE images.tenant_id = :tenant_id;

-- images.list.where.name
images.name = :name;

-- images.list.order.newest
images.created_at_ms DESC, images.id DESC;

-- images.begin_blob
INSERT INTO blobs (created_at_ms, node_id) VALUES (:now_ms, :node_id) RETURNING id;

-- images.add_chunk
INSERT INTO blob_chunks (blob, number, data) VALUES (:blob, :number, :data);

-- images.finish_blob
UPDATE blobs SET sha256=:new_sha256, size_bytes=:new_size_bytes WHERE blobs.id = :for_id;

-- images.blob
SELECT blobs.id FROM blobs WHERE blobs.sha256 = :sha256;

-- images.find_blob
SELECT blobs.id FROM blobs WHERE blobs.sha256 = :sha256;

-- images.chunk
SELECT blob_chunks.data FROM blob_chunks WHERE blob_chunks.blob = :blob AND blob_chunks.number = :number;

-- images.disown_blob
UPDATE blobs SET sha256=NULL, node_id=:new_node_id WHERE blobs.sha256 = :for_sha256 RETURNING id;

-- images.unfinished_blobs
SELECT blobs.id FROM blobs WHERE blobs.sha256 IS NULL AND blobs.node_id = :node_id;

-- images.unused_blobs
SELECT blobs.sha256 FROM blobs WHERE blobs.sha256 IS NOT NULL AND blobs.node_id = :node_id AND NOT (EXISTS (SELECT * FROM images WHERE images.sha256 = blobs.sha256));

-- images.last_chunk
SELECT max(blob_chunks.number) AS max_1 FROM blob_chunks WHERE blob_chunks.blob = :blob;

-- images.drop_chunk
DELETE FROM blob_chunks WHERE blob_chunks.blob = :blob AND blob_chunks.number = :number;

-- images.drop_blob
DELETE FROM blobs WHERE blobs.id = :id;

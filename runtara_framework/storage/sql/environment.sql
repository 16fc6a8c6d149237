-- Generated from the queries and tables; see runtara_framework/storage/compiled.py.

-- blobs
CREATE TABLE blobs ( id INTEGER NOT NULL, sha256 TEXT, size_bytes BIGINT DEFAULT '0' NOT NULL, created_at_ms BIGINT NOT NULL, node_id TEXT NOT NULL, CONSTRAINT pk_blobs PRIMARY KEY (id), CONSTRAINT uq_blobs_sha256 UNIQUE (sha256) );

-- blob_chunks
CREATE TABLE blob_chunks ( blob INTEGER NOT NULL, number INTEGER NOT NULL, data BLOB NOT NULL, CONSTRAINT pk_blob_chunks PRIMARY KEY (blob, number), CONSTRAINT fk_blob_chunks_blob FOREIGN KEY(blob) REFERENCES blobs (id) );

-- images
CREATE TABLE images ( id INTEGER NOT NULL, image_id TEXT NOT NULL, tenant_id TEXT NOT NULL, name TEXT NOT NULL, runner_type TEXT NOT NULL, sha256 TEXT NOT NULL, size_bytes BIGINT NOT NULL, created_at_ms BIGINT NOT NULL, description TEXT, manifest TEXT NOT NULL, metadata TEXT NOT NULL, CONSTRAINT pk_images PRIMARY KEY (id), CONSTRAINT uq_images_image_id UNIQUE (image_id), CONSTRAINT fk_images_sha256 FOREIGN KEY(sha256) REFERENCES blobs (sha256) );

-- ix_images_created
CREATE INDEX ix_images_created ON images (tenant_id, created_at_ms, id);

-- ix_images_name
CREATE INDEX ix_images_name ON images (tenant_id, name, created_at_ms, id);

-- ix_images_sha256
CREATE INDEX ix_images_sha256 ON images (sha256);

-- launches
CREATE TABLE launches ( instance INTEGER NOT NULL, epoch BIGINT NOT NULL, node_id TEXT NOT NULL, claimed_at_ms BIGINT NOT NULL, ended_at_ms BIGINT, handle TEXT, exit_code INTEGER, exit_signal INTEGER, cpu_usec BIGINT, memory_peak_bytes BIGINT, CONSTRAINT pk_launches PRIMARY KEY (instance, epoch), CONSTRAINT fk_launches_instance FOREIGN KEY(instance) REFERENCES instances (id) ON DELETE CASCADE );

-- ix_launches_live
CREATE INDEX ix_launches_live ON launches (node_id) WHERE ended_at_ms IS NULL;

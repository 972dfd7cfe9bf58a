-- Made by searchd 0.2.0 with schema 0002: v0001.sql upgraded by it, then sqlite3's iterdump.
BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0002');
CREATE TABLE events (
	revision INTEGER NOT NULL, 
	study TEXT, 
	at_us BIGINT NOT NULL, 
	kind VARCHAR(16) NOT NULL, 
	body TEXT NOT NULL, 
	PRIMARY KEY (revision)
);
INSERT INTO "events" VALUES(6,'projects/default/studies/gone',1770091506789012,'deleted','');
INSERT INTO "events" VALUES(7,'projects/default/studies/done',1770091506789012,'study','{"name":"projects/default/studies/done","code":"c0de00c0de00","data":"da7a00da7a00","created_at":"2026-02-03T04:05:06.789012Z","state":"running","reason":"","started_at":"2026-02-03T04:05:06.789012Z","ended_at":null,"progress":{"trials":{},"rungs":[],"best":null,"default_score":null,"busy":0,"epochs":0,"full_epochs":0,"train_seconds":0.0}}');
INSERT INTO "events" VALUES(8,'projects/default/studies/later',1770091506789012,'study','{"name":"projects/default/studies/later","code":"c0de00c0de00","data":"da7a00da7a00","created_at":"2026-02-03T04:05:06.789012Z","state":"pending","reason":"","started_at":null,"ended_at":null,"progress":{"trials":{},"rungs":[],"best":null,"default_score":null,"busy":0,"epochs":0,"full_epochs":0,"train_seconds":0.0}}');
INSERT INTO "events" VALUES(9,'projects/default/studies/digits',1770091507789012,'trial','{"study":"projects/default/studies/digits","number":1,"parameters":{"lr":0.01,"channels":8,"optimizer":"adam"},"origin":"search","created_at":"2026-02-03T04:05:06.789012Z","state":"running","scores":[],"fold_runs":[{"repeat":0,"fold":0,"state":"handed_out","target":3,"epoch":0,"attempt":3,"scores":[],"failures":["worker_killed","worker_killed"]},{"repeat":0,"fold":1,"state":"waiting","target":3,"epoch":0,"attempt":1,"scores":[[1,0.30000000000000004],[3,1e-300]],"failures":[]}],"reason":"","log_tail":"","started_at":"2026-02-03T04:05:06.789012Z","ended_at":null,"train_seconds":0.0}');
INSERT INTO "events" VALUES(10,'projects/default/studies/digits',1770091507789012,'trial','{"study":"projects/default/studies/digits","number":2,"parameters":{"lr":0.01,"channels":8,"whole":8.0,"losses":5,"text":"é \"losses\":2 \u0000\n","big":1180591620717411303424,"list":[1,1.0,{"losses":1}],"nan":NaN,"up":Infinity},"origin":"search","created_at":"2026-02-03T04:05:06.789012Z","state":"running","scores":[],"fold_runs":[{"repeat":0,"fold":0,"state":"handed_out","target":3,"epoch":0,"attempt":1,"scores":[],"failures":[]}],"reason":"","log_tail":"","started_at":"2026-02-03T04:05:06.789012Z","ended_at":null,"train_seconds":0.0}');
INSERT INTO "events" VALUES(11,'projects/default/studies/digits',1770091507789012,'trial','{"study":"projects/default/studies/digits","number":3,"parameters":{"lr":0.01,"channels":8,"optimizer":"adam"},"origin":"search","created_at":"2026-02-03T04:05:06.789012Z","state":"running","scores":[],"fold_runs":[],"reason":"","log_tail":"","started_at":"2026-02-03T04:05:06.789012Z","ended_at":null,"train_seconds":0.0}');
INSERT INTO "events" VALUES(12,'projects/default/studies/digits',1770091508789012,'measurement','{"trial":1,"repeat":0,"fold":0,"epoch":1,"attempt":3,"metrics":{"accuracy":0.9,"loss":0.25},"seconds":0.5,"at":"2026-02-03T04:05:06.789012Z"}');
INSERT INTO "events" VALUES(13,'projects/default/studies/digits',1770091508789012,'measurement','{"trial":1,"repeat":0,"fold":0,"epoch":1,"attempt":2,"metrics":{"accuracy":0.1},"seconds":0.5,"at":"2026-02-03T04:05:06.789012Z"}');
INSERT INTO "events" VALUES(14,'projects/default/studies/digits',1770091508789012,'measurement','{"trial":2,"repeat":0,"fold":0,"epoch":1,"attempt":1,"metrics":{"accuracy":NaN},"seconds":0.5,"at":"2026-02-03T04:05:06.789012Z"}');
INSERT INTO "events" VALUES(15,'projects/default/studies/done',1770091506789012,'trial','{"study":"projects/default/studies/done","number":1,"parameters":{"lr":0.01,"channels":8,"optimizer":"adam"},"origin":"search","created_at":"2026-02-03T04:05:06.789012Z","state":"failed","scores":[],"fold_runs":[{"repeat":0,"fold":0,"state":"finished","target":3,"epoch":0,"attempt":1,"scores":[],"failures":["worker_killed","worker_killed","worker_killed"]}],"reason":"its worker died 3 times","log_tail":"line 1\nline 2","started_at":"2026-02-03T04:05:06.789012Z","ended_at":"2026-02-03T04:05:06.789012Z","train_seconds":0.0}');
INSERT INTO "events" VALUES(16,'projects/default/studies/done',1770091506789012,'trial','{"study":"projects/default/studies/done","number":2,"parameters":{"lr":0.01,"channels":8,"optimizer":"adam"},"origin":"search","created_at":"2026-02-03T04:05:06.789012Z","state":"completed","scores":[0.25],"fold_runs":[{"repeat":0,"fold":0,"state":"finished","target":3,"epoch":0,"attempt":1,"scores":[],"failures":["worker_killed"]}],"reason":"","log_tail":"","started_at":"2026-02-03T04:05:06.789012Z","ended_at":"2026-02-03T04:05:06.789012Z","train_seconds":0.0}');
INSERT INTO "events" VALUES(17,'projects/default/studies/done',1770091506789012,'progress','{"trials":{"failed":1,"completed":1},"rungs":[1],"best":{"trial":2,"score":0.25},"default_score":null,"busy":0,"epochs":2,"full_epochs":6,"train_seconds":1.5}');
INSERT INTO "events" VALUES(18,'projects/default/studies/done',1770091506789012,'measurement','{"trial":2,"repeat":0,"fold":0,"epoch":1,"attempt":1,"metrics":{"accuracy":0.9,"loss":0.25},"seconds":0.5,"at":"2026-02-03T04:05:06.789012Z"}');
INSERT INTO "events" VALUES(19,'projects/default/studies/done',1770091506789012,'study','{"name":"projects/default/studies/done","code":"c0de00c0de00","data":"da7a00da7a00","created_at":"2026-02-03T04:05:06.789012Z","state":"succeeded","reason":"all trials ended","started_at":"2026-02-03T04:05:06.789012Z","ended_at":"2026-02-03T04:05:06.789012Z","progress":{"trials":{"failed":1,"completed":1},"rungs":[1],"best":{"trial":2,"score":0.25},"default_score":null,"busy":0,"epochs":2,"full_epochs":6,"train_seconds":1.5}}');
CREATE TABLE measurements (
	study TEXT NOT NULL, 
	trial INTEGER NOT NULL, 
	repeat INTEGER NOT NULL, 
	fold INTEGER NOT NULL, 
	epoch INTEGER NOT NULL, 
	attempt INTEGER NOT NULL, 
	body TEXT NOT NULL, 
	PRIMARY KEY (study, trial, repeat, fold, epoch), 
	FOREIGN KEY(study, trial) REFERENCES trials (study, number)
);
INSERT INTO "measurements" VALUES('projects/default/studies/digits',1,0,0,1,3,'{"trial":1,"repeat":0,"fold":0,"epoch":1,"attempt":3,"metrics":{"accuracy":0.9,"loss":0.25},"seconds":0.5,"at":"2026-02-03T04:05:06.789012Z"}');
INSERT INTO "measurements" VALUES('projects/default/studies/digits',2,0,0,1,1,'{"trial":2,"repeat":0,"fold":0,"epoch":1,"attempt":1,"metrics":{"accuracy":NaN},"seconds":0.5,"at":"2026-02-03T04:05:06.789012Z"}');
INSERT INTO "measurements" VALUES('projects/default/studies/done',2,0,0,1,1,'{"trial":2,"repeat":0,"fold":0,"epoch":1,"attempt":1,"metrics":{"accuracy":0.9,"loss":0.25},"seconds":0.5,"at":"2026-02-03T04:05:06.789012Z"}');
CREATE TABLE meta (
	identity VARCHAR(32) NOT NULL, 
	writer_epoch BIGINT NOT NULL, 
	trimmed BIGINT NOT NULL, holder TEXT DEFAULT '' NOT NULL, address TEXT DEFAULT '' NOT NULL, beats BIGINT DEFAULT '0' NOT NULL, mark VARCHAR(32) DEFAULT '' NOT NULL, 
	PRIMARY KEY (identity)
);
INSERT INTO "meta" VALUES('0123456789abcdef0123456789abcdef',2,5,'','',0,'');
CREATE TABLE requests (
	request_id TEXT NOT NULL, 
	digest TEXT NOT NULL, 
	study TEXT NOT NULL, 
	PRIMARY KEY (request_id)
);
INSERT INTO "requests" VALUES('request-1','d1g3st','{"name":"projects/default/studies/digits","spec":{"trainable":"torch_cnn","objective":{"metric":"accuracy","goal":"maximize"},"space":{"parameters":[{"name":"lr","domain":{"low":0.0001,"high":0.1,"log":true,"step":null,"kind":"float"},"when":[]},{"name":"channels","domain":{"low":8,"high":33,"log":false,"step":8,"kind":"integer"},"when":[]},{"name":"optimizer","domain":{"options":["sgd","adam"],"grid":false,"kind":"choice"},"when":[]},{"name":"momentum","domain":{"low":0.0,"high":0.99,"log":false,"step":null,"kind":"float"},"when":[{"parameter":"optimizer","values":["sgd"]}]}]},"dataset":null,"fixed":{},"seed":0,"search":{"algorithm":"tpe","default_first":true},"scheduler":{"algorithm":"asha","eta":3,"mode":"promotion","min_epochs":1},"evaluation":{"folds":0,"holdout":0.2,"split":"kfold","split_seed":0,"repeats":1,"epochs":1,"score":"last","racing":"none","ladder":[]},"resources":{"cpus":1.0,"gpus":0.0},"budget":{"trials":20,"slots":null,"wall_time":null},"retry":{"attempts":3,"segment_timeout":"PT10M"},"priority":0,"labels":{"team":"vision"}},"code":"c0de00c0de00","data":"da7a00da7a00","created_at":"2026-02-03T04:05:06.789012Z","state":"pending","reason":"","started_at":null,"ended_at":null,"progress":{"trials":{},"rungs":[],"best":null,"default_score":null,"busy":0,"epochs":0,"full_epochs":0,"train_seconds":0.0}}');
CREATE TABLE studies (
	name TEXT NOT NULL, 
	project TEXT NOT NULL, 
	created BIGINT NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	goal VARCHAR(16) NOT NULL, 
	spec TEXT NOT NULL, 
	rest TEXT NOT NULL, 
	progress TEXT NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "studies" VALUES('projects/default/studies/digits','default',1,'running','maximize','{"trainable":"torch_cnn","objective":{"metric":"accuracy","goal":"maximize"},"space":{"parameters":[{"name":"lr","domain":{"low":0.0001,"high":0.1,"log":true,"step":null,"kind":"float"},"when":[]},{"name":"channels","domain":{"low":8,"high":33,"log":false,"step":8,"kind":"integer"},"when":[]},{"name":"optimizer","domain":{"options":["sgd","adam"],"grid":false,"kind":"choice"},"when":[]},{"name":"momentum","domain":{"low":0.0,"high":0.99,"log":false,"step":null,"kind":"float"},"when":[{"parameter":"optimizer","values":["sgd"]}]}]},"dataset":null,"fixed":{},"seed":0,"search":{"algorithm":"tpe","default_first":true},"scheduler":{"algorithm":"asha","eta":3,"mode":"promotion","min_epochs":1},"evaluation":{"folds":0,"holdout":0.2,"split":"kfold","split_seed":0,"repeats":1,"epochs":1,"score":"last","racing":"none","ladder":[]},"resources":{"cpus":1.0,"gpus":0.0},"budget":{"trials":20,"slots":null,"wall_time":null},"retry":{"attempts":3,"segment_timeout":"PT10M"},"priority":0,"labels":{"team":"vision"}}','{"name":"projects/default/studies/digits","code":"c0de00c0de00","data":"da7a00da7a00","created_at":"2026-02-03T04:05:06.789012Z","state":"running","reason":"","started_at":"2026-02-03T04:05:06.789012Z","ended_at":null}','{"trials":{},"rungs":[],"best":null,"default_score":null,"busy":0,"epochs":0,"full_epochs":0,"train_seconds":0.0}');
INSERT INTO "studies" VALUES('projects/default/studies/done','default',7,'succeeded','minimize','{"trainable":"torch_cnn","objective":{"metric":"loss","goal":"minimize"},"space":{"parameters":[{"name":"lr","domain":{"low":0.0001,"high":0.1,"log":true,"step":null,"kind":"float"},"when":[]},{"name":"channels","domain":{"low":8,"high":33,"log":false,"step":8,"kind":"integer"},"when":[]},{"name":"optimizer","domain":{"options":["sgd","adam"],"grid":false,"kind":"choice"},"when":[]},{"name":"momentum","domain":{"low":0.0,"high":0.99,"log":false,"step":null,"kind":"float"},"when":[{"parameter":"optimizer","values":["sgd"]}]}]},"dataset":null,"fixed":{},"seed":0,"search":{"algorithm":"tpe","default_first":true},"scheduler":{"algorithm":"asha","eta":3,"mode":"promotion","min_epochs":1},"evaluation":{"folds":0,"holdout":0.2,"split":"kfold","split_seed":0,"repeats":1,"epochs":1,"score":"last","racing":"none","ladder":[]},"resources":{"cpus":1.0,"gpus":0.0},"budget":{"trials":20,"slots":null,"wall_time":null},"retry":{"attempts":3,"segment_timeout":"PT10M"},"priority":0,"labels":{"team":"vision","note":"Ünï \"losses\": 1"}}','{"name":"projects/default/studies/done","code":"c0de00c0de00","data":"da7a00da7a00","created_at":"2026-02-03T04:05:06.789012Z","state":"succeeded","reason":"all trials ended","started_at":"2026-02-03T04:05:06.789012Z","ended_at":"2026-02-03T04:05:06.789012Z"}','{"trials":{"failed":1,"completed":1},"rungs":[1],"best":{"trial":2,"score":0.25},"default_score":null,"busy":0,"epochs":2,"full_epochs":6,"train_seconds":1.5}');
INSERT INTO "studies" VALUES('projects/default/studies/later','default',8,'pending','maximize','{"trainable":"torch_cnn","objective":{"metric":"accuracy","goal":"maximize"},"space":{"parameters":[{"name":"lr","domain":{"low":0.0001,"high":0.1,"log":true,"step":null,"kind":"float"},"when":[]},{"name":"channels","domain":{"low":8,"high":33,"log":false,"step":8,"kind":"integer"},"when":[]},{"name":"optimizer","domain":{"options":["sgd","adam"],"grid":false,"kind":"choice"},"when":[]},{"name":"momentum","domain":{"low":0.0,"high":0.99,"log":false,"step":null,"kind":"float"},"when":[{"parameter":"optimizer","values":["sgd"]}]}]},"dataset":null,"fixed":{},"seed":0,"search":{"algorithm":"tpe","default_first":true},"scheduler":{"algorithm":"asha","eta":3,"mode":"promotion","min_epochs":1},"evaluation":{"folds":0,"holdout":0.2,"split":"kfold","split_seed":0,"repeats":1,"epochs":1,"score":"last","racing":"none","ladder":[]},"resources":{"cpus":1.0,"gpus":0.0},"budget":{"trials":20,"slots":null,"wall_time":null},"retry":{"attempts":3,"segment_timeout":"PT10M"},"priority":0,"labels":{}}','{"name":"projects/default/studies/later","code":"c0de00c0de00","data":"da7a00da7a00","created_at":"2026-02-03T04:05:06.789012Z","state":"pending","reason":"","started_at":null,"ended_at":null}','{"trials":{},"rungs":[],"best":null,"default_score":null,"busy":0,"epochs":0,"full_epochs":0,"train_seconds":0.0}');
CREATE TABLE study_labels (
	study TEXT NOT NULL, 
	label TEXT NOT NULL, 
	value TEXT NOT NULL, 
	PRIMARY KEY (study, label), 
	FOREIGN KEY(study) REFERENCES studies (name)
);
INSERT INTO "study_labels" VALUES('projects/default/studies/digits','team','vision');
INSERT INTO "study_labels" VALUES('projects/default/studies/done','team','vision');
INSERT INTO "study_labels" VALUES('projects/default/studies/done','note','Ünï "losses": 1');
CREATE TABLE trials (
	study TEXT NOT NULL, 
	number INTEGER NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	rung INTEGER NOT NULL, 
	score FLOAT, 
	body TEXT NOT NULL, 
	PRIMARY KEY (study, number), 
	FOREIGN KEY(study) REFERENCES studies (name)
);
INSERT INTO "trials" VALUES('projects/default/studies/digits',1,'running',0,NULL,'{"study":"projects/default/studies/digits","number":1,"parameters":{"lr":0.01,"channels":8,"optimizer":"adam"},"origin":"search","created_at":"2026-02-03T04:05:06.789012Z","state":"running","scores":[],"fold_runs":[{"repeat":0,"fold":0,"state":"handed_out","target":3,"epoch":0,"attempt":3,"scores":[],"failures":["worker_killed","worker_killed"]},{"repeat":0,"fold":1,"state":"waiting","target":3,"epoch":0,"attempt":1,"scores":[[1,0.30000000000000004],[3,1e-300]],"failures":[]}],"reason":"","log_tail":"","started_at":"2026-02-03T04:05:06.789012Z","ended_at":null,"train_seconds":0.0}');
INSERT INTO "trials" VALUES('projects/default/studies/digits',2,'running',0,NULL,'{"study":"projects/default/studies/digits","number":2,"parameters":{"lr":0.01,"channels":8,"whole":8.0,"losses":5,"text":"é \"losses\":2 \u0000\n","big":1180591620717411303424,"list":[1,1.0,{"losses":1}],"nan":NaN,"up":Infinity},"origin":"search","created_at":"2026-02-03T04:05:06.789012Z","state":"running","scores":[],"fold_runs":[{"repeat":0,"fold":0,"state":"handed_out","target":3,"epoch":0,"attempt":1,"scores":[],"failures":[]}],"reason":"","log_tail":"","started_at":"2026-02-03T04:05:06.789012Z","ended_at":null,"train_seconds":0.0}');
INSERT INTO "trials" VALUES('projects/default/studies/digits',3,'running',0,NULL,'{"study":"projects/default/studies/digits","number":3,"parameters":{"lr":0.01,"channels":8,"optimizer":"adam"},"origin":"search","created_at":"2026-02-03T04:05:06.789012Z","state":"running","scores":[],"fold_runs":[],"reason":"","log_tail":"","started_at":"2026-02-03T04:05:06.789012Z","ended_at":null,"train_seconds":0.0}');
INSERT INTO "trials" VALUES('projects/default/studies/done',1,'failed',0,NULL,'{"study":"projects/default/studies/done","number":1,"parameters":{"lr":0.01,"channels":8,"optimizer":"adam"},"origin":"search","created_at":"2026-02-03T04:05:06.789012Z","state":"failed","scores":[],"fold_runs":[{"repeat":0,"fold":0,"state":"finished","target":3,"epoch":0,"attempt":1,"scores":[],"failures":["worker_killed","worker_killed","worker_killed"]}],"reason":"its worker died 3 times","log_tail":"line 1\nline 2","started_at":"2026-02-03T04:05:06.789012Z","ended_at":"2026-02-03T04:05:06.789012Z","train_seconds":0.0}');
INSERT INTO "trials" VALUES('projects/default/studies/done',2,'completed',1,-0.25,'{"study":"projects/default/studies/done","number":2,"parameters":{"lr":0.01,"channels":8,"optimizer":"adam"},"origin":"search","created_at":"2026-02-03T04:05:06.789012Z","state":"completed","scores":[0.25],"fold_runs":[{"repeat":0,"fold":0,"state":"finished","target":3,"epoch":0,"attempt":1,"scores":[],"failures":["worker_killed"]}],"reason":"","log_tail":"","started_at":"2026-02-03T04:05:06.789012Z","ended_at":"2026-02-03T04:05:06.789012Z","train_seconds":0.0}');
CREATE INDEX events_by_study ON events (study, revision);
CREATE INDEX studies_by_project ON studies (project, name);
CREATE INDEX studies_by_state ON studies (state, created);
CREATE INDEX study_labels_by_value ON study_labels (label, value, study);
CREATE INDEX trials_by_rank ON trials (study, rung, score, number);
COMMIT;

BEGIN TRANSACTION;
CREATE TABLE account (
	id INTEGER NOT NULL, 
	name TEXT NOT NULL, 
	realm TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	constrained INTEGER NOT NULL CHECK (constrained IN (0, 1)), 
	posted_msat INTEGER NOT NULL, 
	held_msat INTEGER NOT NULL CHECK (held_msat >= 0), 
	last_hold INTEGER NOT NULL, 
	last_transfer INTEGER NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (name, realm), 
	CONSTRAINT available CHECK (constrained = 0 OR posted_msat - held_msat >= 0), 
	CONSTRAINT counters CHECK (constrained = 1 OR (posted_msat = 0 AND held_msat = 0))
)
 STRICT;
INSERT INTO "account" VALUES(1,'agent:ag_01a220a449a4042008c353899d91','sim','agent',1,999999814,0,9,13);
INSERT INTO "account" VALUES(2,'equity:operator','sim','equity',1,0,0,0,4);
INSERT INTO "account" VALUES(3,'asset:wallet_simulated','sim','asset',1,1005000000,0,0,3);
INSERT INTO "account" VALUES(4,'agent:ag_01a220a449ca91081952b3ad6ba5','sim','agent',1,4999907,0,10,10);
INSERT INTO "account" VALUES(5,'income:sales','sim','income',0,0,0,0,0);
INSERT INTO "account" VALUES(6,'cost:provider','sim','cost',0,0,0,0,0);
INSERT INTO "account" VALUES(7,'payable:providers_openai.x','sim','payable',0,0,0,0,0);
CREATE TABLE agent (
	id TEXT NOT NULL, 
	name TEXT NOT NULL, 
	realm TEXT NOT NULL, 
	account_id INTEGER NOT NULL, 
	parent_id TEXT, 
	depth INTEGER NOT NULL CHECK (depth BETWEEN 1 AND 4), 
	enabled INTEGER NOT NULL CHECK (enabled IN (0, 1)), 
	created_ms INTEGER NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (name), 
	CONSTRAINT root CHECK ((parent_id IS NULL) = (depth = 1)), 
	FOREIGN KEY(account_id) REFERENCES account (id), 
	FOREIGN KEY(parent_id) REFERENCES agent (id)
)
 WITHOUT ROWID,
 STRICT;
INSERT INTO "agent" VALUES('ag_01a220a449a4042008c353899d91','alice','sim',1,NULL,1,1,1795843967396);
INSERT INTO "agent" VALUES('ag_01a220a449ca91081952b3ad6ba5','bob','sim',4,NULL,1,0,1795843967434);
INSERT INTO "agent" VALUES('ag_01a220a449e0d3897e0ec46a2f8d','alice.helper','sim',1,'ag_01a220a449a4042008c353899d91',2,1,1795843967456);
CREATE TABLE alert (
	agent_id TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	last_ms INTEGER NOT NULL, 
	PRIMARY KEY (agent_id, kind), 
	FOREIGN KEY(agent_id) REFERENCES agent (id)
)
 WITHOUT ROWID,
 STRICT;
CREATE TABLE approval (
	id TEXT NOT NULL, 
	agent_id TEXT NOT NULL, 
	account_id INTEGER NOT NULL, 
	kind TEXT NOT NULL, 
	digest BLOB NOT NULL, 
	ceiling_msat INTEGER NOT NULL CHECK (ceiling_msat >= 0), 
	models TEXT NOT NULL, 
	limits_version INTEGER NOT NULL, 
	state TEXT NOT NULL CHECK (state IN ('pending', 'granted', 'denied', 'expired', 'held', 'used')), 
	created_ms INTEGER NOT NULL, 
	expires_ms INTEGER NOT NULL, 
	decided_ms INTEGER, 
	decided_by TEXT, 
	hold_id TEXT, 
	PRIMARY KEY (id), 
	CONSTRAINT decided CHECK ((decided_ms IS NULL) = (decided_by IS NULL)), 
	CONSTRAINT decided_by_someone CHECK (state IN ('pending', 'expired') OR decided_by IS NOT NULL), 
	FOREIGN KEY(agent_id) REFERENCES agent (id), 
	FOREIGN KEY(account_id) REFERENCES account (id)
)
 WITHOUT ROWID,
 STRICT;
INSERT INTO "approval" VALUES('apr_6174f525255dc0a00f837a127d29','ag_01a220a449a4042008c353899d91',1,'call',X'79E06BD35889C11A958EB9166D2E46181CEA139E4426263A5B9130F57B45384F',4000341,'["m"]',1,'pending',1795843967555,1795844567555,NULL,NULL,NULL);
CREATE TABLE audit (
	seq INTEGER NOT NULL, 
	epoch INTEGER NOT NULL, 
	format INTEGER NOT NULL, 
	at_ms INTEGER NOT NULL, 
	actor TEXT NOT NULL, 
	action TEXT NOT NULL, 
	subject TEXT NOT NULL, 
	data TEXT NOT NULL, 
	hash BLOB NOT NULL, 
	PRIMARY KEY (seq)
)
 STRICT;
INSERT INTO "audit" VALUES(1,0,1,1795843966422,'arbstr','key.adopt','audit.key','[1,"6936e35a93b89d4c5128772781226bf177ccfed01f76715a93619bbb2f0be197",1795843966422]',X'7870383036DF9C837498A36E6589A9EB85A5C210ED4F73E0AC8095BD17611C59');
INSERT INTO "audit" VALUES(2,0,1,1795843967396,'arbstr','account.open','agent:ag_01a220a449a4042008c353899d91@sim','[1,"agent:ag_01a220a449a4042008c353899d91","sim","agent",1]',X'A9562E1C06A45EAD4187A0D621BA862489E77C1C910E8FA282A3823BB3A91E9B');
INSERT INTO "audit" VALUES(3,0,1,1795843967396,'operator','agent.create','ag_01a220a449a4042008c353899d91','["ag_01a220a449a4042008c353899d91","alice","sim",1,null,1,1795843967396]',X'38226CB0AD26ADA81F6E0ED9ED34063EABEDD362DB7405BA7D826C7D56587F0D');
INSERT INTO "audit" VALUES(4,0,1,1795843967396,'operator','token.add','ag_01a220a449a4042008c353899d91','["85fdc0146deef301497637bbe3e8b5d6cfadb2ef1500771872d7c3c731e17344","ag_01a220a449a4042008c353899d91",1795843967396]',X'FDB4BCE0FAFBC23EF72A54DE70002494FC93EB0E31F82F63E19429BBF74B0356');
INSERT INTO "audit" VALUES(5,0,1,1795843967396,'operator','limits.set','ag_01a220a449a4042008c353899d91','["ag_01a220a449a4042008c353899d91",1,1000000,10000000000000,"{\"approval_seconds\":600,\"alert_cooldown_seconds\":3600}",1795843967396]',X'A4C4104CF328F27EB9DCEE0E5730BBED45CBA74E4CC7B38A26CDA6552951EDC8');
INSERT INTO "audit" VALUES(6,0,1,1795843967396,'arbstr','account.open','equity:operator@sim','[2,"equity:operator","sim","equity",1]',X'C3628D4DF19D1081E561CCC63925BFDD9E705DF78B681E32A5D4A9713E6E6559');
INSERT INTO "audit" VALUES(7,0,1,1795843967396,'arbstr','account.open','asset:wallet_simulated@sim','[3,"asset:wallet_simulated","sim","asset",1]',X'F54CBBBDE90B31A8A7A7320BC271306465AD8CFE217E8503906B2EF46D5DA2AA');
INSERT INTO "audit" VALUES(8,0,1,1795843967396,'arbstr','ledger','from transfer 1 to transfer 2','[["transfer",1,"6999df8bad1f7e9bd16af8aeb2b88c1c69612fd6ec66337b0bbf7c55e42cff49"]]',X'71504FC071E3B714CC397AB0F50E1B2F9D05775EC1699661F15C6942C94DFE57');
INSERT INTO "audit" VALUES(9,0,1,1795843967434,'arbstr','account.open','agent:ag_01a220a449ca91081952b3ad6ba5@sim','[4,"agent:ag_01a220a449ca91081952b3ad6ba5","sim","agent",1]',X'28B4AB5B750B4D197AADBF929B512200DF797A640DC1BE3C381C672B7A0C17C5');
INSERT INTO "audit" VALUES(10,0,1,1795843967434,'operator','agent.create','ag_01a220a449ca91081952b3ad6ba5','["ag_01a220a449ca91081952b3ad6ba5","bob","sim",4,null,1,1795843967434]',X'4E6334D983A451025F09A7DC46DC309A4A1C63CC5649A9663A32EFCCA571C7C7');
INSERT INTO "audit" VALUES(11,0,1,1795843967434,'operator','token.add','ag_01a220a449ca91081952b3ad6ba5','["b1839402d0207c9ca01c3f8edadaeea6b00800928848e8e02a0eaa42d2ef1558","ag_01a220a449ca91081952b3ad6ba5",1795843967434]',X'3BA67E0299E1C15D9E9CB1B81E2DCC6E8D0B0CAABDF872BEF742AB840A068A8E');
INSERT INTO "audit" VALUES(12,0,1,1795843967434,'operator','limits.set','ag_01a220a449ca91081952b3ad6ba5','["ag_01a220a449ca91081952b3ad6ba5",1,1000000000000,10000000000000,null,1795843967434]',X'41C468521C8CF88FB2B68E9D7C568463CF4ED7DAC24DF2B5CEC0CD85A4850F68');
INSERT INTO "audit" VALUES(13,0,1,1795843967434,'arbstr','ledger','from transfer 3 to transfer 4','[["transfer",3,"3b53d1b334ac84f44cb36ce0d8fc01ec74a8d9bb778b2b24819de92837815fbc"]]',X'912BD4AC5976002E69CEDEEC78670EC0FC1F3C2B3D03402E6DF665B42F331509');
INSERT INTO "audit" VALUES(14,0,1,1795843967456,'ag_01a220a449a4042008c353899d91','agent.create','ag_01a220a449e0d3897e0ec46a2f8d','["ag_01a220a449e0d3897e0ec46a2f8d","alice.helper","sim",1,"ag_01a220a449a4042008c353899d91",2,1795843967456]',X'B95B78A2B979E19B776A5F801DF4C03B78BD55A7C140D13CF370D16C9D04E058');
INSERT INTO "audit" VALUES(15,0,1,1795843967456,'ag_01a220a449a4042008c353899d91','token.add','ag_01a220a449e0d3897e0ec46a2f8d','["349725bb2df7bf6286aacde2c2ba4f0c113cde4831ade52b36b7d5d7b12736d5","ag_01a220a449e0d3897e0ec46a2f8d",1795843967456]',X'5260BB951940CC5F01DBC470E640644DBE3CDEF8E786000FBD0380ED55B72D86');
INSERT INTO "audit" VALUES(16,0,1,1795843967456,'ag_01a220a449a4042008c353899d91','limits.set','ag_01a220a449e0d3897e0ec46a2f8d','["ag_01a220a449e0d3897e0ec46a2f8d",1,1000000,1000000,null,1795843967456]',X'C00559C986C1B31EBD16765639108B57513D1F30922E70EB5EDCA09BFFC9A57A');
INSERT INTO "audit" VALUES(17,0,1,1795843967479,'arbstr','ledger','from hold 1 to hold 1','[["hold",1,"3fbf9b6083489d1f678aaaa4849ca2a3"]]',X'08AD60EF81BAB4119C818339E98E5F986F6185BF978521A93CDCF372A7D525C6');
INSERT INTO "audit" VALUES(18,0,1,1795843967494,'arbstr','account.open','income:sales@sim','[5,"income:sales","sim","income",0]',X'451DD8CFC4C2356826FA100CF52CA94CF046BE769AE9D0AD75F8CDBD0055F3F4');
INSERT INTO "audit" VALUES(19,0,1,1795843967494,'arbstr','account.open','cost:provider@sim','[6,"cost:provider","sim","cost",0]',X'4D0E1ECEE3DC7AA867C0AF17AA187C820A1CC699B3D4C02EBBE5A7EC4AC46D11');
INSERT INTO "audit" VALUES(20,0,1,1795843967494,'arbstr','account.open','payable:providers_openai.x@sim','[7,"payable:providers_openai.x","sim","payable",0]',X'C86511D75ECDDB97230E415F57AD2A662E3339A81AE059412FDBCD818C02324B');
INSERT INTO "audit" VALUES(21,0,1,1795843967494,'arbstr','ledger','from transfer 5 to transfer 5','[["transfer",5,"f3dfb31995333fefcf4a7929b946a755"]]',X'6F857925337A8D985CA17F642A776D78EA7BF873623CEE3854947D2A97BAC657');
INSERT INTO "audit" VALUES(22,0,1,1795843967513,'arbstr','ledger','from hold 2 to hold 2','[["hold",2,"5c0d78731e9bbd05e42c68e93394495f"]]',X'681B161E09883407A8BEDFCC59E723C4A4AE7106B0F2471172C481009E66C6A9');
INSERT INTO "audit" VALUES(23,0,1,1795843967520,'arbstr','ledger','from transfer 6 to transfer 6','[["transfer",6,"b510bdeb80bf8dd7b524701d0495d4fb"]]',X'78474657A30E5D5A23CD33450AF3397B9213547F93908F703295C014F711BFF5');
INSERT INTO "audit" VALUES(24,0,1,1795843967530,'arbstr','ledger','from hold 3 to hold 3','[["hold",3,"14797206c7bc60b62a5061892fef92fa"]]',X'EA51A5012A543E74F13A9DDB17876F94460DA8E8527C8E34FD22E64F0BFFD783');
INSERT INTO "audit" VALUES(25,0,1,1795843967533,'arbstr','ledger','from transfer 7 to transfer 7','[["transfer",7,"8af8866463c0f6b3034ece22dcd6b3da"]]',X'B45A6818CEE25A589E3F407CD9ABEA73F432CDC784DCCDEB78AA06842100DCFB');
INSERT INTO "audit" VALUES(26,0,1,1795843967536,'arbstr','ledger','from hold 4 to hold 4','[["hold",4,"2e32afd3473c4a70ce921493ce6b128e"]]',X'0B8E51DE059E37CF3C0222CF07D9DBABB710BFF76431252A0EDC222013D52ECC');
INSERT INTO "audit" VALUES(27,0,1,1795843967537,'arbstr','ledger','from transfer 8 to transfer 8','[["transfer",8,"fa1a92ef42f066117da6c6ec5952bf25"]]',X'9AF01C780D1122B38F17610BD968DEE39ADFEB763ECD50DDDC917DC2A2953B37');
INSERT INTO "audit" VALUES(28,0,1,1795843967539,'arbstr','ledger','from hold 5 to hold 5','[["hold",5,"e469f0bd1dc817c33ce7d91a5491e598"]]',X'94E44775DD52C54FC8F6945CE49D96A6808D1EE66A938D63094E2AC536F6E454');
INSERT INTO "audit" VALUES(29,0,1,1795843967540,'arbstr','ledger','from transfer 9 to transfer 9','[["transfer",9,"ddf994b9aa251bdd9512693ce6fc0bdb"]]',X'366F355BDA75E8021437573B4755AA813EB3670E77107999CC375E985F0ED2CF');
INSERT INTO "audit" VALUES(30,0,1,1795843967542,'arbstr','ledger','from hold 6 to hold 6','[["hold",6,"e90b046e3d8e59469a79ddcc415cd3ec"]]',X'A31421F356384636DCC27E85D253CBFC99B7AA289DC888C24879CB2D081D11D9');
INSERT INTO "audit" VALUES(31,0,1,1795843967543,'arbstr','ledger','from transfer 10 to transfer 10','[["transfer",10,"81055d060a69bf00405d3b216b1b751b"]]',X'8ED8D9A74D58C585F0AB815E8FA8DE34109256EA0D1D3E5F63C2894B8F3BC038');
INSERT INTO "audit" VALUES(32,0,1,1795843967546,'arbstr','ledger','from hold 7 to hold 7','[["hold",7,"a84d2511a3d81ee610e57398c01e57a6"]]',X'222A808E695E6D9E5A4104199F7005F2DCFB29317AFC7207269AE6E6F1BF3373');
INSERT INTO "audit" VALUES(33,0,1,1795843967547,'arbstr','ledger','from transfer 11 to transfer 11','[["transfer",11,"92e07e5e482c09fd4e951b9c956e4b87"]]',X'25FF0E0AC8284BDF0D0016F7E13EC1EB17FE8417F2F39202E3C286F88A30C038');
INSERT INTO "audit" VALUES(34,0,1,1795843967549,'arbstr','ledger','from hold 8 to hold 8','[["hold",8,"7be4ae8786a8efb59459f7b49edf5711"]]',X'F9DCA9AFD31FEEFD665CE210187337B4EB9145C464A0EDFEA221A1F74D5EFAB2');
INSERT INTO "audit" VALUES(35,0,1,1795843967550,'arbstr','ledger','from transfer 12 to transfer 12','[["transfer",12,"475aaffc2e0e469572e3acc35de32792"]]',X'6189BA0E943D0F39CFABFB5319DDF243838045206A252386B12926DB9272295D');
INSERT INTO "audit" VALUES(36,0,1,1795843967552,'arbstr','ledger','from hold 9 to hold 9','[["hold",9,"d4c4df39d91edc2d57516ec6e1e48cf1"]]',X'064F3EEC5BE846244EEF061DE4DD2BC49DA0F8E41C4DB607B16AA70D73C513B8');
INSERT INTO "audit" VALUES(37,0,1,1795843967553,'arbstr','ledger','from transfer 13 to transfer 13','[["transfer",13,"55dc6ab0787071fd0b006cf78b0bc408"]]',X'A71CCACAF3F66DB0DF435CA2667EBB24B7A766E7748E545E9A9205EFE3EFA3C8');
INSERT INTO "audit" VALUES(38,0,1,1795843967555,'ag_01a220a449a4042008c353899d91','approval.ask','apr_6174f525255dc0a00f837a127d29','["apr_6174f525255dc0a00f837a127d29","ag_01a220a449a4042008c353899d91",1,"call","79e06bd35889c11a958eb9166d2e46181cea139e4426263a5b9130f57b45384f",4000341,"[\"m\"]",1,"pending",1795843967555,1795844567555,null]',X'44D60DD8FD1BB408A1B1FF935AEAC55C2A5ECF858CC6D668F42EABCB5CD40474');
INSERT INTO "audit" VALUES(39,0,1,1795843967559,'arbstr','ledger','from hold 10 to hold 10','[["hold",10,"86a8351e93bd306a251f631581c1c146"]]',X'6821D51FC3ED91CF71595FF86FD327D5B836CDA69A5540029BE3758EF2A8ED70');
INSERT INTO "audit" VALUES(40,0,1,1795843967560,'arbstr','ledger','from transfer 14 to transfer 14','[["transfer",14,"83ac5b57e27def41e0e5f7c35d43b428"]]',X'5C60DEB906CCD9F54DC5DA6F1E1C797168546132CD06379EAF37362F67B4B981');
INSERT INTO "audit" VALUES(41,0,1,1795843967567,'operator','agent.enabled','ag_01a220a449ca91081952b3ad6ba5','["ag_01a220a449ca91081952b3ad6ba5",0]',X'9A8B06EFCA3F3D3430BD3480AA5997FA1071ADBE026013D8DCE6A658CD5AB468');
INSERT INTO "audit" VALUES(42,0,1,1795843967575,'operator','operator.add','pat','["76052dfd8d5d183965631de1abf339fb1a66826587455b0cd83d64797407e4c9","pat","operator",1795843967575]',X'175F7ABE5893D9121FD12EDAD27773FF5E8930DFF64E92A14D4D7ED26B5BD66D');
CREATE TABLE audit_key (
	n INTEGER NOT NULL CHECK (n > 0), 
	public_key BLOB NOT NULL, 
	adopted_ms INTEGER NOT NULL, 
	PRIMARY KEY (n)
)
 WITHOUT ROWID,
 STRICT;
INSERT INTO "audit_key" VALUES(1,X'6936E35A93B89D4C5128772781226BF177CCFED01F76715A93619BBB2F0BE197',1795843966422);
CREATE TABLE boot (
	id TEXT NOT NULL, 
	started_ms INTEGER NOT NULL, 
	lease_until_ms INTEGER NOT NULL, 
	ended_ms INTEGER, 
	PRIMARY KEY (id)
)
 WITHOUT ROWID,
 STRICT;
INSERT INTO "boot" VALUES('f946fa0243702e5c',1795843966463,1795843996463,1795843967777);
CREATE TABLE bucket (
	agent_id TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	window_start_ms INTEGER NOT NULL, 
	used INTEGER NOT NULL CHECK (used >= 0), 
	PRIMARY KEY (agent_id, kind, window_start_ms), 
	FOREIGN KEY(agent_id) REFERENCES agent (id)
)
 WITHOUT ROWID,
 STRICT;
INSERT INTO "bucket" VALUES('ag_01a220a449a4042008c353899d91','day',1795824000000,186);
INSERT INTO "bucket" VALUES('ag_01a220a449ca91081952b3ad6ba5','day',1795824000000,93);
INSERT INTO "bucket" VALUES('ag_01a220a449e0d3897e0ec46a2f8d','day',1795824000000,93);
CREATE TABLE checkpoint (
	audit_seq INTEGER NOT NULL, 
	at_ms INTEGER NOT NULL, 
	body TEXT NOT NULL, 
	key_id TEXT NOT NULL, 
	signature BLOB NOT NULL, 
	PRIMARY KEY (audit_seq)
)
 STRICT;
INSERT INTO "checkpoint" VALUES(1,1795843966733,'{"ledger":"7870383036df9c837498a36e6589a9eb85a5c210ed4f73e0ac8095bd17611c59","epoch":0,"seq":1,"hash":"7870383036df9c837498a36e6589a9eb85a5c210ed4f73e0ac8095bd17611c59","holds":0,"transfers":0,"entries":0,"at_ms":1795843966733}','037126fdd16607f7',X'5722720F335E5F6DC1B8C66F7C5EFFE88F805CBFDCF067DBB79FCFC1B1A869AA5F572897B0BEB3253CEFD87520EF5992EE76A29433C74E8B27C1D6D1A321490B');
INSERT INTO "checkpoint" VALUES(42,1795843967580,'{"ledger":"7870383036df9c837498a36e6589a9eb85a5c210ed4f73e0ac8095bd17611c59","epoch":0,"seq":42,"hash":"175f7abe5893d9121fd12edad27773ff5e8930dff64e92a14d4d7ed26b5bd66d","holds":10,"transfers":14,"entries":44,"at_ms":1795843967580}','037126fdd16607f7',X'C6D46FA2DFD303327803AD6BAC13C1F4833E6EB3DCB66E039C50DB555F43A9DF4A0846DE92CF73F17E71FE3102C494A91D7A8CC9C058310B42C755905191F802');
CREATE TABLE cipher_check (
	key_id TEXT NOT NULL, 
	sealed BLOB NOT NULL, 
	PRIMARY KEY (key_id)
)
 WITHOUT ROWID,
 STRICT;
INSERT INTO "cipher_check" VALUES('8b7bb2aba04a0937',X'8B7BB2ABA04A0937F65B2B05CCF5E0A0BE9BFAF0E61F3FFA2E4B308CD4E1279D26D7EC3BE69AE213AA96');
CREATE TABLE claim (
	slot INTEGER NOT NULL, 
	account_id INTEGER NOT NULL, 
	digest BLOB NOT NULL, 
	hold_id TEXT NOT NULL, 
	body BLOB, 
	at_ms INTEGER NOT NULL, 
	PRIMARY KEY (slot, account_id, digest), 
	FOREIGN KEY(account_id) REFERENCES account (id)
)
 WITHOUT ROWID,
 STRICT;
CREATE TABLE deposit (
	seq INTEGER NOT NULL, 
	rail TEXT NOT NULL, 
	reference TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	realm TEXT NOT NULL, 
	amount_msat INTEGER NOT NULL CHECK (amount_msat > 0), 
	fee_msat INTEGER NOT NULL CHECK (fee_msat >= 0), 
	request_id TEXT, 
	agent_id TEXT, 
	transfer_seq INTEGER NOT NULL, 
	at_ms INTEGER NOT NULL, 
	PRIMARY KEY (seq), 
	UNIQUE (rail, reference), 
	FOREIGN KEY(request_id) REFERENCES request (id), 
	FOREIGN KEY(agent_id) REFERENCES agent (id), 
	FOREIGN KEY(transfer_seq) REFERENCES transfer (seq) DEFERRABLE INITIALLY DEFERRED
)
 STRICT;
CREATE TABLE entry (
	transfer_seq INTEGER NOT NULL, 
	n INTEGER NOT NULL, 
	account_id INTEGER NOT NULL, 
	side TEXT NOT NULL CHECK (side IN ('debit', 'credit')), 
	amount_msat INTEGER NOT NULL CHECK (amount_msat > 0), 
	previous_seq INTEGER, 
	PRIMARY KEY (transfer_seq, n), 
	FOREIGN KEY(transfer_seq) REFERENCES transfer (seq), 
	FOREIGN KEY(account_id) REFERENCES account (id)
)
 WITHOUT ROWID,
 STRICT;
INSERT INTO "entry" VALUES(1,1,3,'debit',1000000000,0);
INSERT INTO "entry" VALUES(1,2,2,'credit',1000000000,0);
INSERT INTO "entry" VALUES(2,1,2,'debit',1000000000,1);
INSERT INTO "entry" VALUES(2,2,1,'credit',1000000000,0);
INSERT INTO "entry" VALUES(3,1,3,'debit',5000000,1);
INSERT INTO "entry" VALUES(3,2,2,'credit',5000000,2);
INSERT INTO "entry" VALUES(4,1,2,'debit',5000000,3);
INSERT INTO "entry" VALUES(4,2,4,'credit',5000000,0);
INSERT INTO "entry" VALUES(5,1,1,'debit',31,2);
INSERT INTO "entry" VALUES(5,2,5,'credit',31,NULL);
INSERT INTO "entry" VALUES(5,3,6,'debit',31,NULL);
INSERT INTO "entry" VALUES(5,4,7,'credit',31,NULL);
INSERT INTO "entry" VALUES(6,1,1,'debit',31,5);
INSERT INTO "entry" VALUES(6,2,5,'credit',31,NULL);
INSERT INTO "entry" VALUES(6,3,6,'debit',31,NULL);
INSERT INTO "entry" VALUES(6,4,7,'credit',31,NULL);
INSERT INTO "entry" VALUES(7,1,1,'debit',31,6);
INSERT INTO "entry" VALUES(7,2,5,'credit',31,NULL);
INSERT INTO "entry" VALUES(7,3,6,'debit',31,NULL);
INSERT INTO "entry" VALUES(7,4,7,'credit',31,NULL);
INSERT INTO "entry" VALUES(8,1,4,'debit',31,4);
INSERT INTO "entry" VALUES(8,2,5,'credit',31,NULL);
INSERT INTO "entry" VALUES(8,3,6,'debit',31,NULL);
INSERT INTO "entry" VALUES(8,4,7,'credit',31,NULL);
INSERT INTO "entry" VALUES(9,1,4,'debit',31,8);
INSERT INTO "entry" VALUES(9,2,5,'credit',31,NULL);
INSERT INTO "entry" VALUES(9,3,6,'debit',31,NULL);
INSERT INTO "entry" VALUES(9,4,7,'credit',31,NULL);
INSERT INTO "entry" VALUES(10,1,4,'debit',31,9);
INSERT INTO "entry" VALUES(10,2,5,'credit',31,NULL);
INSERT INTO "entry" VALUES(10,3,6,'debit',31,NULL);
INSERT INTO "entry" VALUES(10,4,7,'credit',31,NULL);
INSERT INTO "entry" VALUES(11,1,1,'debit',31,7);
INSERT INTO "entry" VALUES(11,2,5,'credit',31,NULL);
INSERT INTO "entry" VALUES(11,3,6,'debit',31,NULL);
INSERT INTO "entry" VALUES(11,4,7,'credit',31,NULL);
INSERT INTO "entry" VALUES(12,1,1,'debit',31,11);
INSERT INTO "entry" VALUES(12,2,5,'credit',31,NULL);
INSERT INTO "entry" VALUES(12,3,6,'debit',31,NULL);
INSERT INTO "entry" VALUES(12,4,7,'credit',31,NULL);
INSERT INTO "entry" VALUES(13,1,1,'debit',31,12);
INSERT INTO "entry" VALUES(13,2,5,'credit',31,NULL);
INSERT INTO "entry" VALUES(13,3,6,'debit',31,NULL);
INSERT INTO "entry" VALUES(13,4,7,'credit',31,NULL);
CREATE TABLE frozen (
	scope TEXT NOT NULL, 
	frozen INTEGER NOT NULL CHECK (frozen IN (0, 1)), 
	reason TEXT NOT NULL, 
	actor TEXT NOT NULL, 
	at_ms INTEGER NOT NULL, 
	PRIMARY KEY (scope)
)
 WITHOUT ROWID,
 STRICT;
CREATE TABLE hold (
	seq INTEGER NOT NULL, 
	id TEXT NOT NULL, 
	agent_id TEXT NOT NULL, 
	account_id INTEGER NOT NULL, 
	kind TEXT NOT NULL, 
	amount_msat INTEGER NOT NULL CHECK (amount_msat >= 0), 
	state TEXT NOT NULL CHECK (state IN ('held', 'settled', 'released')), 
	boot_id TEXT NOT NULL, 
	window_start_ms INTEGER NOT NULL, 
	windows INTEGER NOT NULL, 
	model TEXT NOT NULL, 
	candidates TEXT NOT NULL, 
	granted INTEGER NOT NULL CHECK (granted > 0), 
	previous_seq INTEGER NOT NULL, 
	approval_id TEXT, 
	created_ms INTEGER NOT NULL, 
	dispatched_ms INTEGER, 
	seen_msat INTEGER NOT NULL CHECK (seen_msat >= 0), 
	seen_ms INTEGER, 
	ended_ms INTEGER, 
	PRIMARY KEY (seq), 
	UNIQUE (id), 
	CONSTRAINT ended CHECK ((state = 'held') = (ended_ms IS NULL)), 
	CONSTRAINT seen CHECK (seen_msat <= amount_msat), 
	FOREIGN KEY(agent_id) REFERENCES agent (id), 
	FOREIGN KEY(account_id) REFERENCES account (id)
)
 STRICT;
INSERT INTO "hold" VALUES(1,'req_01a220a449f714ccfa5fe82d9b0b','ag_01a220a449a4042008c353899d91',1,'call',16704,'settled','f946fa0243702e5c',1795824000000,0,'m','[{"provider":"providers_openai.x","node":"","upstream":"m","ceiling_msat":16704,"input_limit":320,"output_limit":4096,"price":{"type":"msat","input":1000000,"cached_input":1000000,"output":4000000,"request":0},"cost_price":null}]',1,0,NULL,1795843967479,1795843967479,10,NULL,1795843967494);
INSERT INTO "hold" VALUES(2,'req_01a220a44a120ee3951e131fc0e1','ag_01a220a449a4042008c353899d91',1,'call',16704,'settled','f946fa0243702e5c',1795824000000,0,'m','[{"provider":"providers_openai.x","node":"","upstream":"m","ceiling_msat":16704,"input_limit":320,"output_limit":4096,"price":{"type":"msat","input":1000000,"cached_input":1000000,"output":4000000,"request":0},"cost_price":null}]',1,1,NULL,1795843967513,1795843967513,10,NULL,1795843967520);
INSERT INTO "hold" VALUES(3,'req_01a220a44a23e3851cadf8fa45aa','ag_01a220a449a4042008c353899d91',1,'call',16704,'settled','f946fa0243702e5c',1795824000000,0,'m','[{"provider":"providers_openai.x","node":"","upstream":"m","ceiling_msat":16704,"input_limit":320,"output_limit":4096,"price":{"type":"msat","input":1000000,"cached_input":1000000,"output":4000000,"request":0},"cost_price":null}]',1,2,NULL,1795843967530,1795843967530,10,NULL,1795843967533);
INSERT INTO "hold" VALUES(4,'req_01a220a44a2fcf3cc89d3aae1517','ag_01a220a449ca91081952b3ad6ba5',4,'call',16704,'settled','f946fa0243702e5c',1795824000000,0,'m','[{"provider":"providers_openai.x","node":"","upstream":"m","ceiling_msat":16704,"input_limit":320,"output_limit":4096,"price":{"type":"msat","input":1000000,"cached_input":1000000,"output":4000000,"request":0},"cost_price":null}]',1,0,NULL,1795843967536,1795843967536,10,NULL,1795843967537);
INSERT INTO "hold" VALUES(5,'req_01a220a44a336fd185e1adf4021d','ag_01a220a449ca91081952b3ad6ba5',4,'call',16704,'settled','f946fa0243702e5c',1795824000000,0,'m','[{"provider":"providers_openai.x","node":"","upstream":"m","ceiling_msat":16704,"input_limit":320,"output_limit":4096,"price":{"type":"msat","input":1000000,"cached_input":1000000,"output":4000000,"request":0},"cost_price":null}]',1,4,NULL,1795843967539,1795843967539,10,NULL,1795843967540);
INSERT INTO "hold" VALUES(6,'req_01a220a44a360c78a24b15f56bad','ag_01a220a449ca91081952b3ad6ba5',4,'call',16704,'settled','f946fa0243702e5c',1795824000000,0,'m','[{"provider":"providers_openai.x","node":"","upstream":"m","ceiling_msat":16704,"input_limit":320,"output_limit":4096,"price":{"type":"msat","input":1000000,"cached_input":1000000,"output":4000000,"request":0},"cost_price":null}]',1,5,NULL,1795843967542,1795843967542,10,NULL,1795843967543);
INSERT INTO "hold" VALUES(7,'req_01a220a44a396b07464ce10daf9a','ag_01a220a449e0d3897e0ec46a2f8d',1,'call',16704,'settled','f946fa0243702e5c',1795824000000,1,'m','[{"provider":"providers_openai.x","node":"","upstream":"m","ceiling_msat":16704,"input_limit":320,"output_limit":4096,"price":{"type":"msat","input":1000000,"cached_input":1000000,"output":4000000,"request":0},"cost_price":null}]',1,3,NULL,1795843967546,1795843967546,10,NULL,1795843967547);
INSERT INTO "hold" VALUES(8,'req_01a220a44a3d43f3ba48cc9affbc','ag_01a220a449e0d3897e0ec46a2f8d',1,'call',16704,'settled','f946fa0243702e5c',1795824000000,1,'m','[{"provider":"providers_openai.x","node":"","upstream":"m","ceiling_msat":16704,"input_limit":320,"output_limit":4096,"price":{"type":"msat","input":1000000,"cached_input":1000000,"output":4000000,"request":0},"cost_price":null}]',1,7,NULL,1795843967549,1795843967549,10,NULL,1795843967550);
INSERT INTO "hold" VALUES(9,'req_01a220a44a40c90b13ef97e19484','ag_01a220a449e0d3897e0ec46a2f8d',1,'call',16704,'settled','f946fa0243702e5c',1795824000000,1,'m','[{"provider":"providers_openai.x","node":"","upstream":"m","ceiling_msat":16704,"input_limit":320,"output_limit":4096,"price":{"type":"msat","input":1000000,"cached_input":1000000,"output":4000000,"request":0},"cost_price":null}]',1,8,NULL,1795843967552,1795843967552,10,NULL,1795843967553);
INSERT INTO "hold" VALUES(10,'req_01a220a44a4743d79c09ed3ac081','ag_01a220a449ca91081952b3ad6ba5',4,'call',16704,'released','f946fa0243702e5c',1795824000000,0,'m','[{"provider":"providers_openai.x","node":"","upstream":"m","ceiling_msat":16704,"input_limit":320,"output_limit":4096,"price":{"type":"msat","input":1000000,"cached_input":1000000,"output":4000000,"request":0},"cost_price":null}]',1,6,NULL,1795843967559,1795843967559,10,NULL,1795843967560);
CREATE TABLE hold_window (
	hold_seq INTEGER NOT NULL, 
	agent_id TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	window_start_ms INTEGER NOT NULL, 
	PRIMARY KEY (hold_seq, agent_id, kind), 
	FOREIGN KEY(hold_seq) REFERENCES hold (seq), 
	FOREIGN KEY(agent_id) REFERENCES agent (id)
)
 WITHOUT ROWID,
 STRICT;
INSERT INTO "hold_window" VALUES(7,'ag_01a220a449a4042008c353899d91','day',1795824000000);
INSERT INTO "hold_window" VALUES(8,'ag_01a220a449a4042008c353899d91','day',1795824000000);
INSERT INTO "hold_window" VALUES(9,'ag_01a220a449a4042008c353899d91','day',1795824000000);
CREATE TABLE job (
	name TEXT NOT NULL, 
	boot_id TEXT NOT NULL, 
	until_ms INTEGER NOT NULL, 
	fence INTEGER NOT NULL, 
	PRIMARY KEY (name)
)
 WITHOUT ROWID,
 STRICT;
CREATE TABLE limits (
	agent_id TEXT NOT NULL, 
	version INTEGER NOT NULL CHECK (version > 0), 
	max_charge_msat INTEGER CHECK (max_charge_msat >= 0), 
	daily_msat INTEGER CHECK (daily_msat >= 0), 
	more TEXT, 
	created_ms INTEGER NOT NULL, 
	PRIMARY KEY (agent_id, version), 
	FOREIGN KEY(agent_id) REFERENCES agent (id)
)
 WITHOUT ROWID,
 STRICT;
INSERT INTO "limits" VALUES('ag_01a220a449a4042008c353899d91',1,1000000,10000000000000,'{"approval_seconds":600,"alert_cooldown_seconds":3600}',1795843967396);
INSERT INTO "limits" VALUES('ag_01a220a449ca91081952b3ad6ba5',1,1000000000000,10000000000000,NULL,1795843967434);
INSERT INTO "limits" VALUES('ag_01a220a449e0d3897e0ec46a2f8d',1,1000000,1000000,NULL,1795843967456);
CREATE TABLE operator (
	hash BLOB NOT NULL, 
	name TEXT NOT NULL, 
	created_by TEXT NOT NULL, 
	created_ms INTEGER NOT NULL, 
	revoked_ms INTEGER, 
	PRIMARY KEY (hash)
)
 WITHOUT ROWID,
 STRICT;
INSERT INTO "operator" VALUES(X'116836244E3B4FD08C0A909B8D237352EDAF817C5BB6250642C7526559023CF6','pat','operator',1795843967575,NULL);
CREATE TABLE operator_session (
	hash BLOB NOT NULL, 
	page_hash BLOB NOT NULL, 
	token_hash BLOB NOT NULL, 
	created_ms INTEGER NOT NULL, 
	seen_ms INTEGER NOT NULL, 
	PRIMARY KEY (hash)
)
 WITHOUT ROWID,
 STRICT;
CREATE TABLE outbox (
	seq INTEGER NOT NULL, 
	event TEXT NOT NULL, 
	body TEXT NOT NULL, 
	created_ms INTEGER NOT NULL, 
	due_ms INTEGER NOT NULL, 
	attempts INTEGER NOT NULL, 
	delivered_ms INTEGER, 
	last_error TEXT NOT NULL, 
	PRIMARY KEY (seq)
)
 STRICT;
INSERT INTO "outbox" VALUES(1,'approval_required','{"approval":"apr_6174f525255dc0a00f837a127d29","agent":"ag_01a220a449a4042008c353899d91","kind":"call","ceiling_msat":4000341,"models":["m"],"expires_ms":1795844567555}',1795843967555,1795843967555,0,NULL,'');
CREATE TABLE payment (
	seq INTEGER NOT NULL, 
	id TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	realm TEXT NOT NULL, 
	agent_id TEXT, 
	owner TEXT NOT NULL, 
	"key" TEXT, 
	amount_msat INTEGER NOT NULL CHECK (amount_msat > 0), 
	fee_held_msat INTEGER NOT NULL CHECK (fee_held_msat >= 0), 
	destination TEXT NOT NULL, 
	target TEXT NOT NULL, 
	reference TEXT NOT NULL, 
	rails TEXT NOT NULL, 
	own_request TEXT, 
	created_ms INTEGER NOT NULL, 
	state TEXT NOT NULL CHECK (state IN ('created', 'reserved', 'dispatching', 'in_flight', 'unknown', 'succeeded', 'failed', 'rejected', 'cancelled')), 
	attempt INTEGER NOT NULL CHECK (attempt > 0), 
	rail TEXT NOT NULL, 
	fee_limit_msat INTEGER NOT NULL CHECK (fee_limit_msat >= 0), 
	reason TEXT NOT NULL, 
	story TEXT NOT NULL, 
	due_ms INTEGER NOT NULL, 
	tries INTEGER NOT NULL, 
	fence INTEGER, 
	sent_ms INTEGER, 
	ended_ms INTEGER, 
	fee_msat INTEGER CHECK (fee_msat >= 0), 
	proof BLOB, 
	token BLOB, 
	handed TEXT, 
	PRIMARY KEY (seq), 
	UNIQUE (id), 
	CONSTRAINT fee_within_hold CHECK (fee_limit_msat <= fee_held_msat), 
	CONSTRAINT payment_ended CHECK ((state IN ('succeeded', 'failed', 'rejected', 'cancelled')) = (ended_ms IS NOT NULL)), 
	CONSTRAINT payment_fee CHECK ((state = 'succeeded') = (fee_msat IS NOT NULL)), 
	CONSTRAINT payment_sent CHECK (state NOT IN ('dispatching', 'in_flight', 'unknown', 'succeeded') OR sent_ms IS NOT NULL), 
	FOREIGN KEY(agent_id) REFERENCES agent (id), 
	FOREIGN KEY(own_request) REFERENCES request (id)
)
 STRICT;
CREATE TABLE place (
	rail TEXT NOT NULL, 
	stream TEXT NOT NULL, 
	cursor TEXT NOT NULL, 
	moved_ms INTEGER NOT NULL, 
	PRIMARY KEY (rail, stream)
)
 WITHOUT ROWID,
 STRICT;
CREATE TABLE plugin_store (
	stem TEXT NOT NULL, 
	"key" TEXT NOT NULL, 
	value BLOB NOT NULL, 
	PRIMARY KEY (stem, "key")
)
 WITHOUT ROWID,
 STRICT;
CREATE TABLE receipt (
	hold_seq INTEGER NOT NULL, 
	body TEXT NOT NULL, 
	at_ms INTEGER NOT NULL, 
	PRIMARY KEY (hold_seq), 
	FOREIGN KEY(hold_seq) REFERENCES hold (seq)
)
 STRICT;
INSERT INTO "receipt" VALUES(1,'{"endpoint":"chat/completions","model":"m","provider":"providers_openai.x","ending":"complete","stream":false,"usage":{"input_tokens":11,"cached_input_tokens":0,"output_tokens":5,"source":"provider"},"attempts":[{"provider":"providers_openai.x","outcome":"served","ms":1,"detail":""}],"reasons":["cheapest: providers_openai.x is expected to cost 16400 msat for 16 tokens in, 4096 out; nobody else qualifies"],"alternatives":[],"first_byte_ms":14,"total_ms":14,"strategy":"cheapest","upstream":"m","node":"","tier":"standard","price":{"type":"msat","input":1000000,"cached_input":1000000,"output":4000000,"request":0},"cost_msat":31}',1795843967494);
INSERT INTO "receipt" VALUES(2,'{"endpoint":"chat/completions","model":"m","provider":"providers_openai.x","ending":"complete","stream":false,"usage":{"input_tokens":11,"cached_input_tokens":0,"output_tokens":5,"source":"provider"},"attempts":[{"provider":"providers_openai.x","outcome":"served","ms":0,"detail":""}],"reasons":["cheapest: providers_openai.x is expected to cost 36 msat for 16 tokens in, 5 out; nobody else qualifies"],"alternatives":[],"first_byte_ms":13,"total_ms":13,"strategy":"cheapest","upstream":"m","node":"","tier":"standard","price":{"type":"msat","input":1000000,"cached_input":1000000,"output":4000000,"request":0},"cost_msat":31}',1795843967520);
INSERT INTO "receipt" VALUES(3,'{"endpoint":"chat/completions","model":"m","provider":"providers_openai.x","ending":"complete","stream":false,"usage":{"input_tokens":11,"cached_input_tokens":0,"output_tokens":5,"source":"provider"},"attempts":[{"provider":"providers_openai.x","outcome":"served","ms":0,"detail":""}],"reasons":["cheapest: providers_openai.x is expected to cost 36 msat for 16 tokens in, 5 out; nobody else qualifies"],"alternatives":[],"first_byte_ms":9,"total_ms":9,"strategy":"cheapest","upstream":"m","node":"","tier":"standard","price":{"type":"msat","input":1000000,"cached_input":1000000,"output":4000000,"request":0},"cost_msat":31}',1795843967533);
INSERT INTO "receipt" VALUES(4,'{"endpoint":"chat/completions","model":"m","provider":"providers_openai.x","ending":"complete","stream":false,"usage":{"input_tokens":11,"cached_input_tokens":0,"output_tokens":5,"source":"provider"},"attempts":[{"provider":"providers_openai.x","outcome":"served","ms":0,"detail":""}],"reasons":["cheapest: providers_openai.x is expected to cost 36 msat for 16 tokens in, 5 out; nobody else qualifies"],"alternatives":[],"first_byte_ms":1,"total_ms":1,"strategy":"cheapest","upstream":"m","node":"","tier":"standard","price":{"type":"msat","input":1000000,"cached_input":1000000,"output":4000000,"request":0},"cost_msat":31}',1795843967537);
INSERT INTO "receipt" VALUES(5,'{"endpoint":"chat/completions","model":"m","provider":"providers_openai.x","ending":"complete","stream":false,"usage":{"input_tokens":11,"cached_input_tokens":0,"output_tokens":5,"source":"provider"},"attempts":[{"provider":"providers_openai.x","outcome":"served","ms":0,"detail":""}],"reasons":["cheapest: providers_openai.x is expected to cost 36 msat for 16 tokens in, 5 out; nobody else qualifies"],"alternatives":[],"first_byte_ms":1,"total_ms":1,"strategy":"cheapest","upstream":"m","node":"","tier":"standard","price":{"type":"msat","input":1000000,"cached_input":1000000,"output":4000000,"request":0},"cost_msat":31}',1795843967540);
INSERT INTO "receipt" VALUES(6,'{"endpoint":"chat/completions","model":"m","provider":"providers_openai.x","ending":"complete","stream":false,"usage":{"input_tokens":11,"cached_input_tokens":0,"output_tokens":5,"source":"provider"},"attempts":[{"provider":"providers_openai.x","outcome":"served","ms":0,"detail":""}],"reasons":["cheapest: providers_openai.x is expected to cost 36 msat for 16 tokens in, 5 out; nobody else qualifies"],"alternatives":[],"first_byte_ms":1,"total_ms":1,"strategy":"cheapest","upstream":"m","node":"","tier":"standard","price":{"type":"msat","input":1000000,"cached_input":1000000,"output":4000000,"request":0},"cost_msat":31}',1795843967543);
INSERT INTO "receipt" VALUES(7,'{"endpoint":"chat/completions","model":"m","provider":"providers_openai.x","ending":"complete","stream":false,"usage":{"input_tokens":11,"cached_input_tokens":0,"output_tokens":5,"source":"provider"},"attempts":[{"provider":"providers_openai.x","outcome":"served","ms":0,"detail":""}],"reasons":["cheapest: providers_openai.x is expected to cost 36 msat for 16 tokens in, 5 out; nobody else qualifies"],"alternatives":[],"first_byte_ms":1,"total_ms":1,"strategy":"cheapest","upstream":"m","node":"","tier":"standard","price":{"type":"msat","input":1000000,"cached_input":1000000,"output":4000000,"request":0},"cost_msat":31}',1795843967547);
INSERT INTO "receipt" VALUES(8,'{"endpoint":"chat/completions","model":"m","provider":"providers_openai.x","ending":"complete","stream":false,"usage":{"input_tokens":11,"cached_input_tokens":0,"output_tokens":5,"source":"provider"},"attempts":[{"provider":"providers_openai.x","outcome":"served","ms":0,"detail":""}],"reasons":["cheapest: providers_openai.x is expected to cost 36 msat for 16 tokens in, 5 out; nobody else qualifies"],"alternatives":[],"first_byte_ms":1,"total_ms":1,"strategy":"cheapest","upstream":"m","node":"","tier":"standard","price":{"type":"msat","input":1000000,"cached_input":1000000,"output":4000000,"request":0},"cost_msat":31}',1795843967550);
INSERT INTO "receipt" VALUES(9,'{"endpoint":"chat/completions","model":"m","provider":"providers_openai.x","ending":"complete","stream":false,"usage":{"input_tokens":11,"cached_input_tokens":0,"output_tokens":5,"source":"provider"},"attempts":[{"provider":"providers_openai.x","outcome":"served","ms":0,"detail":""}],"reasons":["cheapest: providers_openai.x is expected to cost 36 msat for 16 tokens in, 5 out; nobody else qualifies"],"alternatives":[],"first_byte_ms":0,"total_ms":1,"strategy":"cheapest","upstream":"m","node":"","tier":"standard","price":{"type":"msat","input":1000000,"cached_input":1000000,"output":4000000,"request":0},"cost_msat":31}',1795843967553);
INSERT INTO "receipt" VALUES(10,'{"endpoint":"chat/completions","model":"m","provider":null,"ending":"failed","stream":false,"usage":{"input_tokens":0,"cached_input_tokens":0,"output_tokens":0,"source":"none"},"attempts":[{"provider":"providers_openai.x","outcome":"refused","ms":0,"detail":"answered 500"}],"reasons":["cheapest: providers_openai.x is expected to cost 36 msat for 16 tokens in, 5 out; nobody else qualifies"],"alternatives":[],"first_byte_ms":null,"total_ms":1,"strategy":"cheapest"}',1795843967560);
CREATE TABLE replay (
	hold_seq INTEGER NOT NULL, 
	sealed BLOB NOT NULL, 
	at_ms INTEGER NOT NULL, 
	PRIMARY KEY (hold_seq), 
	FOREIGN KEY(hold_seq) REFERENCES hold (seq)
)
 STRICT;
CREATE TABLE request (
	seq INTEGER NOT NULL, 
	id TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	purpose TEXT NOT NULL, 
	realm TEXT NOT NULL, 
	rail TEXT NOT NULL, 
	agent_id TEXT, 
	subject TEXT NOT NULL, 
	amount_msat INTEGER NOT NULL CHECK (amount_msat >= 0), 
	fee_msat INTEGER NOT NULL CHECK (fee_msat >= 0), 
	memo TEXT NOT NULL, 
	created_ms INTEGER NOT NULL, 
	reference TEXT, 
	text TEXT, 
	sealed BLOB, 
	state TEXT NOT NULL CHECK (state IN ('asked', 'open', 'paid', 'refused', 'cancelled', 'expired')), 
	reason TEXT NOT NULL, 
	due_ms INTEGER NOT NULL, 
	tries INTEGER NOT NULL, 
	expires_ms INTEGER, 
	ended_ms INTEGER, 
	PRIMARY KEY (seq), 
	UNIQUE (id), 
	CONSTRAINT request_ended CHECK ((state IN ('asked', 'open')) = (ended_ms IS NULL)), 
	FOREIGN KEY(agent_id) REFERENCES agent (id)
)
 STRICT;
CREATE TABLE request_log (
	id TEXT NOT NULL, 
	at_ms INTEGER NOT NULL, 
	agent_id TEXT NOT NULL, 
	model TEXT NOT NULL, 
	provider TEXT NOT NULL, 
	status INTEGER NOT NULL, 
	outcome TEXT NOT NULL, 
	charged_msat INTEGER NOT NULL, 
	total_ms INTEGER NOT NULL, tier TEXT NOT NULL DEFAULT '', streamed INTEGER NOT NULL DEFAULT 0, input_tokens INTEGER NOT NULL DEFAULT 0, output_tokens INTEGER NOT NULL DEFAULT 0, first_byte_ms INTEGER NOT NULL DEFAULT 0, 
	PRIMARY KEY (id)
)
 WITHOUT ROWID,
 STRICT;
INSERT INTO "request_log" VALUES('req_01a220a449f714ccfa5fe82d9b0b',1795843967505,'ag_01a220a449a4042008c353899d91','m','providers_openai.x',200,'complete',31,25,'standard',0,11,5,14);
INSERT INTO "request_log" VALUES('req_01a220a44a120ee3951e131fc0e1',1795843967522,'ag_01a220a449a4042008c353899d91','m','providers_openai.x',200,'complete',31,14,'standard',0,11,5,13);
INSERT INTO "request_log" VALUES('req_01a220a44a23e3851cadf8fa45aa',1795843967534,'ag_01a220a449a4042008c353899d91','m','providers_openai.x',200,'complete',31,10,'standard',0,11,5,9);
INSERT INTO "request_log" VALUES('req_01a220a44a2fcf3cc89d3aae1517',1795843967538,'ag_01a220a449ca91081952b3ad6ba5','m','providers_openai.x',200,'complete',31,1,'standard',0,11,5,1);
INSERT INTO "request_log" VALUES('req_01a220a44a336fd185e1adf4021d',1795843967541,'ag_01a220a449ca91081952b3ad6ba5','m','providers_openai.x',200,'complete',31,1,'standard',0,11,5,1);
INSERT INTO "request_log" VALUES('req_01a220a44a360c78a24b15f56bad',1795843967544,'ag_01a220a449ca91081952b3ad6ba5','m','providers_openai.x',200,'complete',31,1,'standard',0,11,5,1);
INSERT INTO "request_log" VALUES('req_01a220a44a396b07464ce10daf9a',1795843967548,'ag_01a220a449e0d3897e0ec46a2f8d','m','providers_openai.x',200,'complete',31,2,'standard',0,11,5,1);
INSERT INTO "request_log" VALUES('req_01a220a44a3d43f3ba48cc9affbc',1795843967551,'ag_01a220a449e0d3897e0ec46a2f8d','m','providers_openai.x',200,'complete',31,1,'standard',0,11,5,1);
INSERT INTO "request_log" VALUES('req_01a220a44a40c90b13ef97e19484',1795843967554,'ag_01a220a449e0d3897e0ec46a2f8d','m','providers_openai.x',200,'complete',31,1,'standard',0,11,5,0);
INSERT INTO "request_log" VALUES('req_01a220a44a43557c340d4830f5be',1795843967558,'ag_01a220a449a4042008c353899d91','m','',403,'ApprovalRequired',0,3,'',0,0,0,0);
INSERT INTO "request_log" VALUES('req_01a220a44a4743d79c09ed3ac081',1795843967562,'ag_01a220a449ca91081952b3ad6ba5','m','',502,'UpstreamFailed',0,3,'',0,0,0,0);
CREATE TABLE schema (
	room TEXT NOT NULL, 
	version INTEGER NOT NULL, 
	name TEXT NOT NULL, 
	at_ms INTEGER NOT NULL, 
	PRIMARY KEY (room, version)
)
 WITHOUT ROWID,
 STRICT;
INSERT INTO "schema" VALUES('journal',1,'request log',1795843965827);
INSERT INTO "schema" VALUES('journal',2,'tier, tokens and first byte of a call',1795843965827);
INSERT INTO "schema" VALUES('storage',1,'cipher check, plugin store',1795843965827);
INSERT INTO "schema" VALUES('vault',1,'agents, holds, transfers, audit',1795843965827);
INSERT INTO "schema" VALUES('vault',2,'the audit key in force',1795843965827);
INSERT INTO "schema" VALUES('vault',3,'requests, deposits, payments',1795843965827);
INSERT INTO "schema" VALUES('vault',4,'minutes that are over are forgotten',1795843965827);
INSERT INTO "schema" VALUES('vault',5,'operators and their sessions',1795843965827);
CREATE TABLE seller (
	name TEXT NOT NULL, 
	realm TEXT NOT NULL, 
	destination TEXT NOT NULL, 
	threshold_msat INTEGER NOT NULL CHECK (threshold_msat > 0), 
	every_seconds INTEGER NOT NULL CHECK (every_seconds > 0), 
	enabled INTEGER NOT NULL CHECK (enabled IN (0, 1)), 
	set_ms INTEGER NOT NULL, 
	PRIMARY KEY (name, realm)
)
 WITHOUT ROWID,
 STRICT;
CREATE TABLE solvency (
	realm TEXT NOT NULL, 
	at_ms INTEGER NOT NULL, 
	below INTEGER NOT NULL CHECK (below >= 0), 
	body TEXT NOT NULL, 
	PRIMARY KEY (realm)
)
 WITHOUT ROWID,
 STRICT;
CREATE TABLE token (
	hash BLOB NOT NULL, 
	agent_id TEXT NOT NULL, 
	created_ms INTEGER NOT NULL, 
	revoked_ms INTEGER, 
	PRIMARY KEY (hash), 
	FOREIGN KEY(agent_id) REFERENCES agent (id)
)
 WITHOUT ROWID,
 STRICT;
INSERT INTO "token" VALUES(X'12CB9AED02007864B15AD697C394E563227B6440D77E57F4E69FA75ECED25141','ag_01a220a449e0d3897e0ec46a2f8d',1795843967456,NULL);
INSERT INTO "token" VALUES(X'71B1C4C3BB20187C9DE9E856CBFEC2E5336CD0854B32C38278D242B2466D8579','ag_01a220a449ca91081952b3ad6ba5',1795843967434,NULL);
INSERT INTO "token" VALUES(X'CE7B976C846E83C593C2AA0E60D43D4B03C920E71F50C1B9975FF951ABB578C1','ag_01a220a449a4042008c353899d91',1795843967396,NULL);
CREATE TABLE transfer (
	seq INTEGER NOT NULL, 
	kind TEXT NOT NULL, 
	realm TEXT NOT NULL, 
	hold_seq INTEGER, 
	"key" TEXT, 
	amount_msat INTEGER NOT NULL CHECK (amount_msat >= 0), 
	refers_to INTEGER, 
	at_ms INTEGER NOT NULL, 
	memo TEXT NOT NULL, 
	PRIMARY KEY (seq), 
	CONSTRAINT one_cause CHECK ((hold_seq IS NULL) <> (key IS NULL)), 
	CONSTRAINT release_is_empty CHECK (kind <> 'release' OR amount_msat = 0), 
	FOREIGN KEY(hold_seq) REFERENCES hold (seq), 
	FOREIGN KEY(refers_to) REFERENCES transfer (seq)
)
 STRICT;
INSERT INTO "transfer" VALUES(1,'capital','sim',NULL,'capital:create:ag_01a220a449a4042008c353899d91',1000000000,NULL,1795843967396,'');
INSERT INTO "transfer" VALUES(2,'fund','sim',NULL,'create:ag_01a220a449a4042008c353899d91',1000000000,NULL,1795843967396,'ag_01a220a449a4042008c353899d91 from wallet_simulated');
INSERT INTO "transfer" VALUES(3,'capital','sim',NULL,'capital:create:ag_01a220a449ca91081952b3ad6ba5',5000000,NULL,1795843967434,'');
INSERT INTO "transfer" VALUES(4,'fund','sim',NULL,'create:ag_01a220a449ca91081952b3ad6ba5',5000000,NULL,1795843967434,'ag_01a220a449ca91081952b3ad6ba5 from wallet_simulated');
INSERT INTO "transfer" VALUES(5,'settle','sim',1,NULL,31,NULL,1795843967494,'');
INSERT INTO "transfer" VALUES(6,'settle','sim',2,NULL,31,NULL,1795843967520,'');
INSERT INTO "transfer" VALUES(7,'settle','sim',3,NULL,31,NULL,1795843967533,'');
INSERT INTO "transfer" VALUES(8,'settle','sim',4,NULL,31,NULL,1795843967537,'');
INSERT INTO "transfer" VALUES(9,'settle','sim',5,NULL,31,NULL,1795843967540,'');
INSERT INTO "transfer" VALUES(10,'settle','sim',6,NULL,31,NULL,1795843967543,'');
INSERT INTO "transfer" VALUES(11,'settle','sim',7,NULL,31,NULL,1795843967547,'');
INSERT INTO "transfer" VALUES(12,'settle','sim',8,NULL,31,NULL,1795843967550,'');
INSERT INTO "transfer" VALUES(13,'settle','sim',9,NULL,31,NULL,1795843967553,'');
INSERT INTO "transfer" VALUES(14,'release','sim',10,NULL,0,NULL,1795843967560,'');
CREATE INDEX child_of_agent ON agent (parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX token_of_agent ON token (agent_id);
CREATE INDEX open_hold ON hold (account_id) WHERE state = 'held';
CREATE UNIQUE INDEX transfer_of_hold ON transfer (hold_seq) WHERE hold_seq IS NOT NULL;
CREATE UNIQUE INDEX transfer_key ON transfer ("key") WHERE "key" IS NOT NULL;
CREATE INDEX correction_of ON transfer (refers_to) WHERE refers_to IS NOT NULL;
CREATE UNIQUE INDEX approval_of ON approval (account_id, digest) WHERE state IN ('pending', 'granted', 'held');
CREATE INDEX undelivered ON outbox (seq) WHERE delivered_ms IS NULL;
CREATE INDEX audit_subject ON audit (subject, seq) WHERE action != 'ledger';
CREATE TRIGGER limits_no_update BEFORE UPDATE ON limits BEGIN SELECT RAISE(ABORT, 'limits: rows are never changed'); END;
CREATE TRIGGER limits_no_delete BEFORE DELETE ON limits BEGIN SELECT RAISE(ABORT, 'limits: rows are never deleted'); END;
CREATE TRIGGER limits_no_insert_over BEFORE INSERT ON limits WHEN EXISTS (SELECT 1 FROM limits WHERE (agent_id = NEW.agent_id AND version = NEW.version)) BEGIN SELECT RAISE(ABORT, 'limits: the key is taken'); END;
CREATE TRIGGER hold_window_no_update BEFORE UPDATE ON hold_window BEGIN SELECT RAISE(ABORT, 'hold_window: rows are never changed'); END;
CREATE TRIGGER hold_window_no_delete BEFORE DELETE ON hold_window BEGIN SELECT RAISE(ABORT, 'hold_window: rows are never deleted'); END;
CREATE TRIGGER hold_window_no_insert_over BEFORE INSERT ON hold_window WHEN EXISTS (SELECT 1 FROM hold_window WHERE (hold_seq = NEW.hold_seq AND agent_id = NEW.agent_id AND kind = NEW.kind)) BEGIN SELECT RAISE(ABORT, 'hold_window: what it refers to is not there, or the key is taken'); END;
CREATE TRIGGER transfer_no_update BEFORE UPDATE ON transfer BEGIN SELECT RAISE(ABORT, 'transfer: rows are never changed'); END;
CREATE TRIGGER transfer_no_delete BEFORE DELETE ON transfer BEGIN SELECT RAISE(ABORT, 'transfer: rows are never deleted'); END;
CREATE TRIGGER transfer_no_insert_over BEFORE INSERT ON transfer WHEN NEW.hold_seq IS NOT NULL AND NOT EXISTS (SELECT 1 FROM hold h WHERE h.seq = NEW.hold_seq AND h.state = 'held' AND h.amount_msat >= NEW.amount_msat) OR EXISTS (SELECT 1 FROM transfer WHERE (seq = NEW.seq) OR (key = NEW.key) OR (hold_seq = NEW.hold_seq)) BEGIN SELECT RAISE(ABORT, 'transfer: above its hold, or the hold has ended, or the key is taken'); END;
CREATE TRIGGER entry_no_update BEFORE UPDATE ON entry BEGIN SELECT RAISE(ABORT, 'entry: rows are never changed'); END;
CREATE TRIGGER entry_no_delete BEFORE DELETE ON entry BEGIN SELECT RAISE(ABORT, 'entry: rows are never deleted'); END;
CREATE TRIGGER entry_no_insert_over BEFORE INSERT ON entry WHEN (SELECT realm FROM account WHERE id = NEW.account_id) IS DISTINCT FROM (SELECT realm FROM transfer WHERE seq = NEW.transfer_seq) OR EXISTS (SELECT 1 FROM entry WHERE (transfer_seq = NEW.transfer_seq AND n = NEW.n)) BEGIN SELECT RAISE(ABORT, 'entry: the account is of another realm, or the key is taken'); END;
CREATE TRIGGER receipt_no_update BEFORE UPDATE ON receipt BEGIN SELECT RAISE(ABORT, 'receipt: rows are never changed'); END;
CREATE TRIGGER receipt_no_delete BEFORE DELETE ON receipt BEGIN SELECT RAISE(ABORT, 'receipt: rows are never deleted'); END;
CREATE TRIGGER receipt_no_insert_over BEFORE INSERT ON receipt WHEN EXISTS (SELECT 1 FROM receipt WHERE (hold_seq = NEW.hold_seq)) BEGIN SELECT RAISE(ABORT, 'receipt: what it refers to is not there, or the key is taken'); END;
CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'audit: rows are never changed'); END;
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'audit: rows are never deleted'); END;
CREATE TRIGGER audit_no_insert_over BEFORE INSERT ON audit WHEN EXISTS (SELECT 1 FROM audit WHERE (seq = NEW.seq)) BEGIN SELECT RAISE(ABORT, 'audit: the key is taken'); END;
CREATE TRIGGER checkpoint_no_update BEFORE UPDATE ON checkpoint BEGIN SELECT RAISE(ABORT, 'checkpoint: rows are never changed'); END;
CREATE TRIGGER checkpoint_no_delete BEFORE DELETE ON checkpoint BEGIN SELECT RAISE(ABORT, 'checkpoint: rows are never deleted'); END;
CREATE TRIGGER checkpoint_no_insert_over BEFORE INSERT ON checkpoint WHEN EXISTS (SELECT 1 FROM checkpoint WHERE (audit_seq = NEW.audit_seq)) BEGIN SELECT RAISE(ABORT, 'checkpoint: the key is taken'); END;
CREATE TRIGGER account_no_delete BEFORE DELETE ON account BEGIN SELECT RAISE(ABORT, 'account: rows are never deleted'); END;
CREATE TRIGGER account_no_insert_over BEFORE INSERT ON account WHEN EXISTS (SELECT 1 FROM account WHERE (id = NEW.id) OR (name = NEW.name AND realm = NEW.realm)) BEGIN SELECT RAISE(ABORT, 'account: the key is taken'); END;
CREATE TRIGGER agent_no_delete BEFORE DELETE ON agent BEGIN SELECT RAISE(ABORT, 'agent: rows are never deleted'); END;
CREATE TRIGGER agent_no_insert_over BEFORE INSERT ON agent WHEN EXISTS (SELECT 1 FROM agent WHERE (id = NEW.id) OR (name = NEW.name)) BEGIN SELECT RAISE(ABORT, 'agent: the key is taken'); END;
CREATE TRIGGER token_no_delete BEFORE DELETE ON token BEGIN SELECT RAISE(ABORT, 'token: rows are never deleted'); END;
CREATE TRIGGER token_no_insert_over BEFORE INSERT ON token WHEN EXISTS (SELECT 1 FROM token WHERE (hash = NEW.hash)) BEGIN SELECT RAISE(ABORT, 'token: the key is taken'); END;
CREATE TRIGGER bucket_no_insert_over BEFORE INSERT ON bucket WHEN EXISTS (SELECT 1 FROM bucket WHERE (agent_id = NEW.agent_id AND kind = NEW.kind AND window_start_ms = NEW.window_start_ms)) BEGIN SELECT RAISE(ABORT, 'bucket: what it refers to is not there, or the key is taken'); END;
CREATE TRIGGER hold_no_delete BEFORE DELETE ON hold BEGIN SELECT RAISE(ABORT, 'hold: rows are never deleted'); END;
CREATE TRIGGER hold_no_insert_over BEFORE INSERT ON hold WHEN EXISTS (SELECT 1 FROM hold WHERE (seq = NEW.seq) OR (id = NEW.id)) BEGIN SELECT RAISE(ABORT, 'hold: what it refers to is not there, or the key is taken'); END;
CREATE TRIGGER approval_no_delete BEFORE DELETE ON approval BEGIN SELECT RAISE(ABORT, 'approval: rows are never deleted'); END;
CREATE TRIGGER approval_no_insert_over BEFORE INSERT ON approval WHEN EXISTS (SELECT 1 FROM approval WHERE (id = NEW.id) OR (account_id = NEW.account_id AND digest = NEW.digest AND approval.state IN ('pending', 'granted', 'held'))) BEGIN SELECT RAISE(ABORT, 'approval: the key is taken'); END;
CREATE TRIGGER account_fixed BEFORE UPDATE ON account WHEN NEW.id IS DISTINCT FROM OLD.id OR NEW.name IS DISTINCT FROM OLD.name OR NEW.realm IS DISTINCT FROM OLD.realm OR NEW.kind IS DISTINCT FROM OLD.kind OR NEW.constrained IS DISTINCT FROM OLD.constrained BEGIN SELECT RAISE(ABORT, 'account: this column never changes'); END;
CREATE TRIGGER agent_fixed BEFORE UPDATE ON agent WHEN NEW.id IS DISTINCT FROM OLD.id OR NEW.name IS DISTINCT FROM OLD.name OR NEW.realm IS DISTINCT FROM OLD.realm OR NEW.account_id IS DISTINCT FROM OLD.account_id OR NEW.parent_id IS DISTINCT FROM OLD.parent_id OR NEW.depth IS DISTINCT FROM OLD.depth OR NEW.created_ms IS DISTINCT FROM OLD.created_ms BEGIN SELECT RAISE(ABORT, 'agent: this column never changes'); END;
CREATE TRIGGER token_fixed BEFORE UPDATE ON token WHEN NEW.hash IS DISTINCT FROM OLD.hash OR NEW.agent_id IS DISTINCT FROM OLD.agent_id OR NEW.created_ms IS DISTINCT FROM OLD.created_ms BEGIN SELECT RAISE(ABORT, 'token: this column never changes'); END;
CREATE TRIGGER bucket_fixed BEFORE UPDATE ON bucket WHEN NEW.agent_id IS DISTINCT FROM OLD.agent_id OR NEW.kind IS DISTINCT FROM OLD.kind OR NEW.window_start_ms IS DISTINCT FROM OLD.window_start_ms BEGIN SELECT RAISE(ABORT, 'bucket: this column never changes'); END;
CREATE TRIGGER approval_fixed BEFORE UPDATE ON approval WHEN NEW.id IS DISTINCT FROM OLD.id OR NEW.agent_id IS DISTINCT FROM OLD.agent_id OR NEW.account_id IS DISTINCT FROM OLD.account_id OR NEW.kind IS DISTINCT FROM OLD.kind OR NEW.digest IS DISTINCT FROM OLD.digest OR NEW.ceiling_msat IS DISTINCT FROM OLD.ceiling_msat OR NEW.models IS DISTINCT FROM OLD.models OR NEW.limits_version IS DISTINCT FROM OLD.limits_version OR NEW.created_ms IS DISTINCT FROM OLD.created_ms BEGIN SELECT RAISE(ABORT, 'approval: this column never changes'); END;
CREATE TRIGGER hold_fixed BEFORE UPDATE ON hold WHEN OLD.state <> 'held' OR NEW.seen_msat < OLD.seen_msat OR NEW.seq IS DISTINCT FROM OLD.seq OR NEW.id IS DISTINCT FROM OLD.id OR NEW.agent_id IS DISTINCT FROM OLD.agent_id OR NEW.account_id IS DISTINCT FROM OLD.account_id OR NEW.kind IS DISTINCT FROM OLD.kind OR NEW.amount_msat IS DISTINCT FROM OLD.amount_msat OR NEW.boot_id IS DISTINCT FROM OLD.boot_id OR NEW.window_start_ms IS DISTINCT FROM OLD.window_start_ms OR NEW.windows IS DISTINCT FROM OLD.windows OR NEW.model IS DISTINCT FROM OLD.model OR NEW.candidates IS DISTINCT FROM OLD.candidates OR NEW.granted IS DISTINCT FROM OLD.granted OR NEW.previous_seq IS DISTINCT FROM OLD.previous_seq OR NEW.approval_id IS DISTINCT FROM OLD.approval_id OR NEW.created_ms IS DISTINCT FROM OLD.created_ms BEGIN SELECT RAISE(ABORT, 'hold: it has ended, or this column never changes, or less was seen than before'); END;
CREATE TRIGGER token_revoked BEFORE UPDATE ON token WHEN OLD.revoked_ms IS NOT NULL BEGIN SELECT RAISE(ABORT, 'token: it is revoked'); END;
CREATE TRIGGER approval_decided BEFORE UPDATE ON approval WHEN OLD.state IN ('denied', 'expired', 'used') OR (OLD.state = 'pending' AND NEW.state IN ('held', 'used')) OR (OLD.state IN ('granted', 'held') AND NEW.state IN ('pending', 'denied')) OR (OLD.decided_ms IS NOT NULL AND (NEW.decided_ms IS DISTINCT FROM OLD.decided_ms OR NEW.decided_by IS DISTINCT FROM OLD.decided_by)) OR EXISTS (SELECT 1 FROM agent WHERE id = NEW.decided_by) BEGIN SELECT RAISE(ABORT, 'approval: it has been decided, or this does not follow, or an agent decides'); END;
CREATE TRIGGER audit_key_no_update BEFORE UPDATE ON audit_key BEGIN SELECT RAISE(ABORT, 'audit_key: rows are never changed'); END;
CREATE TRIGGER audit_key_no_delete BEFORE DELETE ON audit_key BEGIN SELECT RAISE(ABORT, 'audit_key: rows are never deleted'); END;
CREATE TRIGGER audit_key_no_insert_over BEFORE INSERT ON audit_key WHEN EXISTS (SELECT 1 FROM audit_key WHERE (n = NEW.n)) BEGIN SELECT RAISE(ABORT, 'audit_key: the key is taken'); END;
CREATE UNIQUE INDEX request_reference ON request (rail, reference) WHERE reference IS NOT NULL;
CREATE INDEX open_request ON request (due_ms) WHERE state IN ('asked', 'open');
CREATE INDEX request_of_agent ON request (agent_id, seq);
CREATE INDEX deposit_of_agent ON deposit (agent_id, seq);
CREATE UNIQUE INDEX payment_reference ON payment (realm, reference) WHERE state IN ('created', 'reserved', 'dispatching', 'in_flight', 'unknown', 'succeeded');
CREATE UNIQUE INDEX payment_key ON payment (owner, "key") WHERE "key" IS NOT NULL;
CREATE INDEX due_payment ON payment (due_ms) WHERE state IN ('reserved', 'dispatching', 'in_flight', 'unknown');
CREATE INDEX payment_of_owner ON payment (owner, seq);
CREATE TRIGGER deposit_no_update BEFORE UPDATE ON deposit BEGIN SELECT RAISE(ABORT, 'deposit: rows are never changed'); END;
CREATE TRIGGER deposit_no_delete BEFORE DELETE ON deposit BEGIN SELECT RAISE(ABORT, 'deposit: rows are never deleted'); END;
CREATE TRIGGER deposit_no_insert_over BEFORE INSERT ON deposit WHEN EXISTS (SELECT 1 FROM deposit WHERE (seq = NEW.seq) OR (rail = NEW.rail AND reference = NEW.reference)) BEGIN SELECT RAISE(ABORT, 'deposit: the key is taken'); END;
CREATE TRIGGER request_no_delete BEFORE DELETE ON request BEGIN SELECT RAISE(ABORT, 'request: rows are never deleted'); END;
CREATE TRIGGER request_no_insert_over BEFORE INSERT ON request WHEN EXISTS (SELECT 1 FROM request WHERE (seq = NEW.seq) OR (id = NEW.id) OR (rail = NEW.rail AND reference = NEW.reference)) BEGIN SELECT RAISE(ABORT, 'request: the key is taken'); END;
CREATE TRIGGER payment_no_delete BEFORE DELETE ON payment BEGIN SELECT RAISE(ABORT, 'payment: rows are never deleted'); END;
CREATE TRIGGER payment_no_insert_over BEFORE INSERT ON payment WHEN EXISTS (SELECT 1 FROM payment WHERE (seq = NEW.seq) OR (id = NEW.id) OR (owner = NEW.owner AND key = NEW.key) OR (realm = NEW.realm AND reference = NEW.reference AND payment.state IN ('created', 'reserved', 'dispatching', 'in_flight', 'unknown', 'succeeded'))) BEGIN SELECT RAISE(ABORT, 'payment: the key is taken'); END;
CREATE TRIGGER frozen_no_delete BEFORE DELETE ON frozen BEGIN SELECT RAISE(ABORT, 'frozen: rows are never deleted'); END;
CREATE TRIGGER frozen_no_insert_over BEFORE INSERT ON frozen WHEN EXISTS (SELECT 1 FROM frozen WHERE (scope = NEW.scope)) BEGIN SELECT RAISE(ABORT, 'frozen: the key is taken'); END;
CREATE TRIGGER seller_no_delete BEFORE DELETE ON seller BEGIN SELECT RAISE(ABORT, 'seller: rows are never deleted'); END;
CREATE TRIGGER seller_no_insert_over BEFORE INSERT ON seller WHEN EXISTS (SELECT 1 FROM seller WHERE (name = NEW.name AND realm = NEW.realm)) BEGIN SELECT RAISE(ABORT, 'seller: the key is taken'); END;
CREATE TRIGGER payment_fixed BEFORE UPDATE ON payment WHEN OLD.state IN ('failed', 'rejected', 'cancelled') OR (OLD.state = 'succeeded' AND (NEW.state <> 'succeeded' OR OLD.handed IS NOT NULL)) OR (OLD.state = 'succeeded' AND (NEW.fee_msat <> OLD.fee_msat OR NEW.token IS DISTINCT FROM OLD.token)) OR (OLD.state IN ('dispatching', 'in_flight', 'unknown') AND NEW.state IN ('created', 'rejected', 'cancelled')) OR (OLD.state IN ('dispatching', 'in_flight', 'unknown') AND NEW.state = 'reserved' AND NEW.attempt <> OLD.attempt + 1) OR (OLD.state IN ('dispatching', 'in_flight', 'unknown') AND NEW.state <> 'reserved' AND NEW.attempt <> OLD.attempt) OR (OLD.state IN ('created', 'reserved') AND NEW.attempt <> OLD.attempt) OR (OLD.state IN ('created', 'reserved') AND NEW.state IN ('in_flight', 'unknown', 'succeeded', 'failed')) OR (OLD.state = 'created' AND NEW.state = 'dispatching') OR NEW.id IS DISTINCT FROM OLD.id OR NEW.kind IS DISTINCT FROM OLD.kind OR NEW.realm IS DISTINCT FROM OLD.realm OR NEW.agent_id IS DISTINCT FROM OLD.agent_id OR NEW.owner IS DISTINCT FROM OLD.owner OR NEW.key IS DISTINCT FROM OLD.key OR NEW.amount_msat IS DISTINCT FROM OLD.amount_msat OR NEW.fee_held_msat IS DISTINCT FROM OLD.fee_held_msat OR NEW.destination IS DISTINCT FROM OLD.destination OR NEW.target IS DISTINCT FROM OLD.target OR NEW.reference IS DISTINCT FROM OLD.reference OR NEW.rails IS DISTINCT FROM OLD.rails OR NEW.own_request IS DISTINCT FROM OLD.own_request OR NEW.created_ms IS DISTINCT FROM OLD.created_ms BEGIN SELECT RAISE(ABORT, 'payment: it has ended, or this does not follow, or this column never changes'); END;
CREATE TRIGGER request_fixed BEFORE UPDATE ON request WHEN OLD.state IN ('paid', 'refused') OR (OLD.state IN ('cancelled', 'expired') AND NEW.state <> 'paid') OR (OLD.reference IS NOT NULL AND NEW.reference IS DISTINCT FROM OLD.reference) OR (OLD.sealed IS NOT NULL AND NEW.sealed IS DISTINCT FROM OLD.sealed) OR NEW.id IS DISTINCT FROM OLD.id OR NEW.kind IS DISTINCT FROM OLD.kind OR NEW.purpose IS DISTINCT FROM OLD.purpose OR NEW.realm IS DISTINCT FROM OLD.realm OR NEW.rail IS DISTINCT FROM OLD.rail OR NEW.agent_id IS DISTINCT FROM OLD.agent_id OR NEW.subject IS DISTINCT FROM OLD.subject OR NEW.amount_msat IS DISTINCT FROM OLD.amount_msat OR NEW.fee_msat IS DISTINCT FROM OLD.fee_msat OR NEW.memo IS DISTINCT FROM OLD.memo OR NEW.created_ms IS DISTINCT FROM OLD.created_ms BEGIN SELECT RAISE(ABORT, 'request: it has ended, or this does not follow, or this column never changes'); END;
CREATE TRIGGER bucket_no_delete BEFORE DELETE ON bucket WHEN OLD.kind NOT IN ('attempts', 'minute', 'requests') OR OLD.window_start_ms >= (SELECT max(b.window_start_ms) FROM bucket b WHERE b.agent_id = OLD.agent_id AND b.kind = OLD.kind) - 172800000 BEGIN SELECT RAISE(ABORT, 'bucket: days are never deleted, and of what is shorter the last two days are kept'); END;
CREATE UNIQUE INDEX live_operator ON operator (name) WHERE revoked_ms IS NULL;
CREATE TRIGGER operator_no_delete BEFORE DELETE ON operator BEGIN SELECT RAISE(ABORT, 'operator: rows are never deleted'); END;
CREATE TRIGGER operator_no_insert_over BEFORE INSERT ON operator WHEN EXISTS (SELECT 1 FROM operator WHERE (hash = NEW.hash) OR (name = NEW.name AND operator.revoked_ms IS NULL)) BEGIN SELECT RAISE(ABORT, 'operator: the key is taken'); END;
CREATE TRIGGER operator_fixed BEFORE UPDATE ON operator WHEN NEW.hash IS DISTINCT FROM OLD.hash OR NEW.name IS DISTINCT FROM OLD.name OR NEW.created_by IS DISTINCT FROM OLD.created_by OR NEW.created_ms IS DISTINCT FROM OLD.created_ms BEGIN SELECT RAISE(ABORT, 'operator: this column never changes'); END;
CREATE TRIGGER operator_revoked BEFORE UPDATE ON operator WHEN OLD.revoked_ms IS NOT NULL BEGIN SELECT RAISE(ABORT, 'operator: the token is revoked'); END;
COMMIT;

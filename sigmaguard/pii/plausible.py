"""Which of a model's names are none: technical terms, code, numbers, salutations. Knows shapes and a list of products.

Statistical taggers take `S3`, `EKS` or `Kubernetes` for people and firms; masking those ruins technical
work and protects nobody.
"""

import re

from sigmaguard.pii.tagger import Name

_TERMS = """
s3 eks ecs ecr ec2 rds iam vpc aws gcp azure sqs sns kms elb alb lambda cloudfront cloudwatch cloudformation
dynamodb athena glue aurora fargate bedrock sagemaker redshift route kubernetes docker podman helm grafana
prometheus loki jenkins terraform ansible pulumi vagrant kafka redis valkey postgres postgresql mysql mariadb
sqlite mongodb mongo elasticsearch opensearch kibana logstash nginx apache tomcat envoy istio traefik java
python kotlin rust golang typescript javascript react angular vue svelte django flask fastapi spring hibernate
airflow spark hadoop hive snowflake databricks tableau powerbi excel word powerpoint outlook teams slack jira
confluence gitlab github git bitbucket sonarqube maven gradle webpack vite node nodejs npm pip conda linux
ubuntu debian fedora centos windows macos android ios http https json yaml xml csv pdf html css api rest grpc
graphql oauth oidc saml jwt tls ssl ssh dns dhcp vpn cpu gpu ram ssd usb hdmi uuid sql nosql etl sla kpi sap
chatgpt claude gemini gpt llm rag mcp openai anthropic mistral llama pytorch tensorflow keras numpy pandas
jupyter pod cluster namespace deployment ingress bucket topic partition token readme changelog dockerfile
makefile master main develop head sprint backlog epic bug celery rabbitmq zookeeper consul vault nomad flink
beam kinesis firehose memcached cassandra scylla neo4j clickhouse duckdb parquet arrow avro protobuf websocket
cors csrf xss utf ascii unicode base64 sha md5 aes rsa hmac
"""
TERMS = frozenset(_TERMS.split())
_WORD = re.compile(r"[^\W_]+")
# what no name holds: digits, marks of code, capitals inside a word
_CODE = re.compile(r"[\d_/\\@=<>{}\[\]()|#*$%^~`;:+\"]|[a-zäöü][A-ZÄÖÜ]|\.\w|\w\.\w|::|->|\n")
SURE_OF_A_WORD = 0.7  # a lone noun is taken for a firm up to here
_NO_FIRM = re.compile(r"[_/\\@=<>{}\[\]()|#*$%^~`;:\"\n]")
_ALLOWED_HUMPS = re.compile(r"\b(?:Mc|Mac|De|Le|La|Di|Van|Fitz|O['’])[A-Z]")
# what forms, logs and letters call things: no name by itself
_LABELS = """
name vorname nachname adresse address anschrift telefon phone tel mobil fax email mail iban bic konto account
kunde kundin customer client gerät device version ticket commit trace error warn info debug fatal sir madam
team support geburtsdatum steuer rechnung invoice order bestellung vertrag contract betreff subject anlage
datum date uhr zeit time krankenkasse versicherung bank firma company patient patientin hallo hello hi dear
thanks danke gruß grüße regards select insert update delete from where join table class def return import null
none true false todo fixme der die das ein eine the a an and und or oder with mit ich wir sie you i we he she
it montag dienstag mittwoch donnerstag freitag samstag sonntag monday tuesday wednesday thursday friday
saturday sunday januar februar märz april mai juni juli august september oktober november dezember january
february march may june july october december gpa ceo cto hr it deutsch englisch german english french
französisch spanisch spanish skills kenntnisse lebenslauf curriculum vitae
"""
LABELS = frozenset(_LABELS.split())
# how classes are called
_CLASS = re.compile(
    r"\w*[a-z](?:Error|Exception|Service|Controller|Manager|Handler|Client|Factory|Repository|Test|Config|Provider)s?"
)
_GREETING = r"Hello|Hi|Dear|Regards|Thanks|Hallo|Liebe[rs]?|Sehr geehrte[rs]?|Guten Tag|Danke|Firma"
_TITLE = (
    r"Mr|Mrs|Ms|Miss|Dr|Prof|Herrn?|Frau|Familie|Kollegin|Kollege|Patientin|Patient|Kundin|Kunde|Customer|Client|Doctor"
)
_POLITE = re.compile(rf"\A(?:(?:{_GREETING}|(?P<title>{_TITLE}))\b\.?,?\s*)+")
_TITLED = re.compile(rf"(?:\b(?:{_TITLE})\b\.?|(?<![\w ])[\"']?[Nn]ame[\"']?\s*[:=])\s*[\"']?\Z")
_STREET = re.compile(
    r".*(?:stra(?:ß|ss)e|str\.|weg|platz|allee|gasse|ring|damm|ufer)\s\d{1,4}\s?[a-z]?\Z", re.IGNORECASE
)


def plausible(text: str, name: Name) -> Name | None:
    """The name without titles before and marks around it; None where it is none."""
    start, end, label, score = name
    polite = _POLITE.match(text[start:end])
    titled = polite is not None and polite["title"] is not None
    start, end = _trimmed(text, start + polite.end() if polite else start, end)
    written = text[start:end]
    if len(written) < 2 or not any(map(str.isupper, written)):
        return None
    if _STREET.match(written):
        return start, end, "LOCATION", score
    if titled or (label == "ORGANIZATION" and _TITLED.search(text, max(0, start - 16), start)):
        label = "PERSON"
    if _is_term(written, label) or _is_code_around(text, start, end):
        return None
    if label == "ORGANIZATION" and " " not in written and score < SURE_OF_A_WORD:
        return None
    return start, end, label, score


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """The span without marks at its ends and without a genitive."""
    while start < end and not text[start].isalnum():
        start += 1
    while end > start and not text[end - 1].isalnum() and text[end - 1] != ".":
        end -= 1
    return start, end - 2 if text[start:end].endswith(("'s", "’s")) else end


def _is_term(written: str, label: str) -> bool:
    """Whether the words are those of code, forms or products rather than of a name."""
    words = [word.lower() for word in _WORD.findall(written)]
    if not words or all(word in LABELS or word in TERMS or word.isdigit() for word in words):
        return True
    if "  " in written or any(map(_CLASS.fullmatch, written.split())):
        return True
    if written.isupper() and (len(written) <= 5 or any(map(str.isdigit, written))):
        return True  # an abbreviation: EKS, KPI, ORA-00942
    if len(words) < 3 and any(word in TERMS for word in words):
        return True
    if label == "ORGANIZATION":
        return _NO_FIRM.search(written) is not None or (" " not in written and any(map(str.isdigit, written)))
    plain = _ALLOWED_HUMPS.sub("X", written).replace("St.", "St").rstrip(".")
    return _CODE.search(plain) is not None or (label == "PERSON" and words[0] in LABELS)


def _is_code_around(text: str, start: int, end: int) -> bool:
    """Whether the name is a piece of an identifier, a path, a call or a tag."""
    before, after = text[start - 1 : start], text[end : end + 1]
    if (before and before in "_/\\.$#`=@") or (after and after in "_/\\(`={["):
        return True
    if before == "-" and text[start - 2 : start - 1].isalnum():
        return True
    return bool(after) and after in ".-" and text[end + 1 : end + 2].isalnum()

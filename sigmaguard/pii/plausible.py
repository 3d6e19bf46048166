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
_ALLOWED_HUMPS = re.compile(r"\b(?:Mc|Mac|De|Le|La|Di|Van|Fitz|O['’])[A-Z]")
# how classes are called
_CLASS = re.compile(
    r"\w*[a-z](?:Error|Exception|Service|Controller|Manager|Handler|Client|Factory|Repository|Test|Config|Provider)s?"
)
_POLITE = re.compile(
    r"\A(?:(?:Hello|Hi|Dear|Regards|Thanks|Hallo|Liebe[rs]?|Sehr geehrte[rs]?|Guten Tag|Danke|Mr|Mrs|Ms|Miss|Dr|Prof"
    r"|Herrn?|Frau|Familie|Kollegin|Kollege|Patientin|Patient|Kundin|Kunde|Firma)\b\.?,?\s*)+"
)
_STREET = re.compile(
    r".*(?:stra(?:ß|ss)e|str\.|weg|platz|allee|gasse|ring|damm|ufer)\s\d{1,4}\s?[a-z]?\Z", re.IGNORECASE
)


def plausible(text: str, name: Name) -> Name | None:
    """The name without titles before and marks around it; None where it is none."""
    start, end, label, score = name
    polite = _POLITE.match(text, start, end)
    if polite:
        start = polite.end()
    while start < end and not text[start].isalnum():
        start += 1
    while end > start and not text[end - 1].isalnum() and text[end - 1] != ".":
        end -= 1
    if text[start:end].endswith(("'s", "’s")):
        end -= 2
    written = text[start:end]
    if len(written) < 2 or not any(map(str.isupper, written)):
        return None
    if _STREET.match(written):
        return start, end, label, score
    if _CODE.search(_ALLOWED_HUMPS.sub("X", written).replace("St.", "St").rstrip(".")) and label != "ORGANIZATION":
        return None
    words = [word.lower() for word in _WORD.findall(written)]
    if (
        not words
        or all(word in TERMS or word.isdigit() for word in words)
        or _CLASS.fullmatch(written)
        or _is_code_around(text, start, end)
    ):
        return None
    if label == "PERSON" and any(word in TERMS for word in words) and len(words) < 3:
        return None
    if written.isupper() and (len(written) <= 5 or any(map(str.isdigit, written))):
        return None  # an abbreviation: EKS, KPI, ORA-00942
    if label == "ORGANIZATION" and any(map(str.isdigit, written)) and " " not in written:
        return None
    return start, end, label, score


def _is_code_around(text: str, start: int, end: int) -> bool:
    """Whether the name is a piece of an identifier, a path, a call or a tag."""
    before, after = text[start - 1 : start], text[end : end + 1]
    if (before and before in "_/\\.$#`=@") or (after and after in "_/\\(`={["):
        return True
    if before == "-" and text[start - 2 : start - 1].isalnum():
        return True
    return bool(after) and after in ".-" and text[end + 1 : end + 2].isalnum()

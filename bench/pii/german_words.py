"""Words German training sentences are filled with. Knows lists only; names of people and streets come from Faker."""

TITLES = ("Herr", "Frau", "Dr.", "Herr Dr.", "Frau Dr.", "Prof.", "Frau Prof. Dr.", "Herrn", "Kollege", "Kollegin")

COUNTRIES = """Deutschland Österreich Schweiz Frankreich Italien Spanien Portugal Polen Tschechien Ungarn Dänemark Schweden
Norwegen Finnland Belgien Luxemburg Niederlande Großbritannien Irland Griechenland Türkei Ukraine Rumänien Bulgarien
Kroatien Serbien Slowenien Slowakei Island Estland Lettland Litauen Japan China Indien Brasilien Mexiko Kanada Ägypten
Marokko Südafrika Kenia Australien Neuseeland Israel Vietnam Thailand Singapur Argentinien Chile Europa Asien Afrika
Bayern Hessen Sachsen Thüringen Brandenburg Niedersachsen Saarland Schleswig-Holstein Baden-Württemberg
Nordrhein-Westfalen Rheinland-Pfalz Sachsen-Anhalt Mecklenburg-Vorpommern Tirol Kärnten Steiermark Graubünden""".split()

CITIES = """Berlin Hamburg München Köln Frankfurt Stuttgart Düsseldorf Leipzig Dortmund Essen Bremen Dresden Hannover
Nürnberg Duisburg Bochum Wuppertal Bielefeld Bonn Münster Mannheim Karlsruhe Augsburg Wiesbaden Mönchengladbach
Gelsenkirchen Aachen Braunschweig Kiel Chemnitz Halle Magdeburg Freiburg Krefeld Mainz Lübeck Erfurt Oberhausen Rostock
Kassel Hagen Potsdam Saarbrücken Hamm Ludwigshafen Leverkusen Oldenburg Osnabrück Solingen Heidelberg Darmstadt
Paderborn Regensburg Ingolstadt Würzburg Wolfsburg Göttingen Ulm Heilbronn Pforzheim Trier Jena Cottbus Erlangen Koblenz
Bamberg Bayreuth Passau Konstanz Tübingen Marburg Gießen Fulda Weimar Gera Zwickau Görlitz Stralsund Flensburg Husum
Wien Graz Linz Salzburg Innsbruck Klagenfurt Bregenz Zürich Bern Basel Genf Lausanne Luzern Winterthur Paris London
Madrid Rom Mailand Warschau Prag Budapest Kopenhagen Stockholm Oslo Helsinki Brüssel Amsterdam Rotterdam Athen Istanbul
Moskau Kiew Tokio Peking Shanghai Sydney Boston Chicago Toronto Dublin Lissabon Barcelona Lyon Straßburg Venedig
Rhein Elbe Donau Mosel Schwarzwald Allgäu Ostsee Nordsee Bodensee Harz Eifel Alpen Spreewald Ruhrgebiet""".split()

LEGAL = ("GmbH", "AG", "KG", "GmbH & Co. KG", "e.V.", "SE", "OHG", "UG", "eG", "mbH", "gGmbH")

TRADES = """Maschinenbau Logistik Software Elektrotechnik Bau Immobilien Verlag Druckerei Bäckerei Gartenbau Medizintechnik
Systemhaus Consulting Versicherung Energie Pharma Automobile Möbel Textil Spedition Werbeagentur Steuerberatung
Metallbau Haustechnik Beteiligungs Solar Pflegedienst Reinigung Catering Analytik Robotik Optik""".split()

KINDS_OF_ORG = """Stadtwerke Universität Volkshochschule Sparkasse Volksbank Amtsgericht Finanzamt Landgericht Universitätsklinikum
Hochschule Messe Flughafen Polizei Handelskammer Stadtbibliothek Zoo""".split()

FIRMS = """Siemens Bosch Volkswagen Daimler Lufthansa Bayer Allianz Telekom Henkel Adidas Zalando Continental Thyssenkrupp
Rewe Edeka Lidl Aldi Otto Deichmann Miele Beiersdorf Merck Infineon Airbus Porsche Audi Opel Bertelsmann Novartis Nestlé
Roche Swisscom Raiffeisen Microsoft Amazon Google Apple Bundesbank Bundestag Europäische_Kommission Deutsche_Bahn
Deutsche_Bank Deutsche_Post Technische_Universität Rotes_Kreuz Max-Planck-Gesellschaft Fraunhofer-Institut Commerzbank
Techniker_Krankenkasse Bundesagentur_für_Arbeit Bundesamt_für_Justiz Norddeutscher_Rundfunk""".split()

TECHNICAL = """S3 EKS EC2 RDS IAM VPC Kubernetes Docker Helm Grafana Prometheus Jenkins Terraform Ansible Kafka Redis Postgres
PostgreSQL MySQL MongoDB Elasticsearch Kibana Nginx Apache Tomcat Java Python Kotlin Rust Go TypeScript JavaScript React
Angular Vue Django Flask FastAPI Spring Hibernate Lambda CloudFront DynamoDB Athena Glue Aurora Fargate Airflow Spark
Hadoop Hive Snowflake Tableau PowerBI Excel Word Outlook Teams Slack Jira Confluence GitLab GitHub Bitbucket SonarQube
Maven Gradle Webpack Vite Node Linux Ubuntu Debian Windows macOS Android iOS HTTP HTTPS JSON YAML XML CSV PDF API REST
GraphQL OAuth SAML JWT TLS SSL SSH DNS DHCP VPN CPU GPU RAM SSD USB HDMI UUID SQL NoSQL ETL CI/CD SLA KPI SAP S/4HANA
ChatGPT Claude Gemini LLM RAG Embeddings Pod Node Cluster Namespace Deployment Ingress Bucket Topic Partition Token
ORA-00942 ERR_TIMEOUT NullPointerException OutOfMemoryError TypeError KeyError IndexError main.py index.html Dockerfile
README CHANGELOG master develop HEAD Sprint Backlog Epic Story Ticket Bug Feature Release Hotfix Rollback Build""".split()

NOUNS = """Haus Auto Tisch Stuhl Fenster Garten Küche Rechnung Vertrag Angebot Bestellung Lieferung Termin Besprechung Bericht
Projekt Frage Antwort Problem Lösung Fehler Anfrage Kunde Kundin Mitarbeiter Chef Abteilung Büro Konto Betrag Zahlung
Mahnung Frist Unterlagen Datei Ordner Drucker Rechner Bildschirm Passwort Anmeldung Zugang Server Datenbank Tabelle Zeile
Spalte Wert Ergebnis Prozess Ablauf Regel Ausnahme Beispiel Version Änderung Wetter Urlaub Reise Zug Flug Hotel Zimmer
Schlüssel Tür Straße Weg Platz Stadt Dorf Land Fluss Berg Wald See Meer Sonne Regen Schnee Winter Sommer Herbst Frühling
Montag Dienstag Mittwoch Donnerstag Freitag Samstag Sonntag Januar Februar März April Mai Juni Juli August September
Oktober November Dezember Morgen Abend Nacht Woche Monat Jahr Stunde Minute Arzt Ärztin Patient Krankenhaus Apotheke
Medikament Rezept Schule Lehrer Schüler Studium Prüfung Note Buch Zeitung Film Musik Lied Spiel Ball Mannschaft Trainer
Essen Trinken Brot Butter Käse Wurst Kuchen Kaffee Tee Wasser Wein Bier Koch Bäcker Fischer Müller Schneider Jäger König
Kaiser Wolf Fuchs Vogel Hahn Stein Sand Busch Baum Blume Rose Jung Klein Groß Lang Kurz Braun Schwarz Weiß Ernst Mark
Engel Teufel Gott Himmel Hoffnung Liebe Freude Angst Mut Zeit Geld Recht Gesetz Steuer Versicherung Miete Strom Gas
Heizung Dach Keller Wand Boden Farbe Werkzeug Hammer Nagel Schraube Maschine Motor Rad Bremse Kupplung Werkstatt
Datenschutz Auskunft Löschung Einwilligung Anlage Betreff Anschrift Empfänger Absender Kopie Entwurf Protokoll
Tagesordnung Beschluss Abstimmung Mehrheit Vorschlag Idee Konzept Strategie Markt Umsatz Gewinn Verlust Kosten Budget
Planung Umsetzung Qualität Sicherheit Schulung Einführung Betrieb Wartung Störung Ausfall Ursache Maßnahme""".split()

VERBS = """prüfen schicken senden besprechen klären bestätigen vorbereiten abschließen löschen ändern übernehmen planen
erledigen bezahlen bestellen verschieben anrufen dokumentieren freigeben testen""".split()

PARTICIPLES = """geprüft geschickt gesendet besprochen geklärt bestätigt vorbereitet abgeschlossen gelöscht geändert übernommen
geplant erledigt bezahlt bestellt verschoben angerufen dokumentiert freigegeben getestet""".split()

ADJECTIVES = """neue alte wichtige offene letzte nächste dringende kurze lange gute schlechte ganze halbe rote blaue deutsche
französische Berliner technische rechtliche interne externe vorläufige endgültige monatliche jährliche""".split()

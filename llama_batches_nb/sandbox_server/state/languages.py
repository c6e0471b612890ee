"""Words and sentences of the documents in the sample data, in several languages and scripts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random


@dataclass(frozen=True)
class Language:
    """The words of documents in one language. Placeholders: {company}, {town}, {n}, {date}."""

    code: str
    titles: tuple[str, ...]
    sections: tuple[str, ...]
    sentences: tuple[str, ...]
    goods: tuple[str, ...]
    columns: tuple[str, str, str, str]  # description, quantity, unit price, amount
    facts: tuple[str, str, str, str, str]  # number, company, date, due date, total


LANGUAGES = (
    Language(
        "en",
        ("Invoice", "Delivery note", "Lease agreement", "Annual report", "Claim form"),
        ("Scope", "Terms of payment", "Delivery", "Liability", "Annex", "Signatures"),
        (
            "{company} delivers to {town} within {n} working days.",
            "Payment is due by {date} without deduction.",
            "The parties have agreed on {n} instalments; the first is due on {date}.",
            "Claims expire {n} months after the goods have arrived in {town}.",
            "*Handwritten:* checked and approved, {date}.",
        ),
        ("Copy paper A4", "Toner, black", "Desk lamp", "Shelf, oak", "Cable 5 m", "Hourly rate"),
        ("Description", "Quantity", "Unit price", "Amount"),
        ("Number", "Supplier", "Date", "Due date", "Total"),
    ),
    Language(
        "de",
        ("Rechnung", "Lieferschein", "Mietvertrag", "Geschäftsbericht", "Gutachten"),
        ("Gegenstand", "Zahlungsbedingungen", "Lieferung", "Haftung", "Anlage", "Unterschriften"),
        (
            "{company} liefert binnen {n} Werktagen nach {town}.",
            "Der Betrag ist bis zum {date} ohne Abzug zahlbar.",
            "Die Kündigungsfrist beträgt {n} Monate zum Monatsende.",
            "Mängel sind {company} unverzüglich schriftlich anzuzeigen.",
            "Größe der Fläche in {town}: {n} m², Übergabe am {date}.",
        ),
        ("Kopierpapier A4", "Toner, schwarz", "Schreibtischlampe", "Regal, Eiche", "Kabel 5 m"),
        ("Bezeichnung", "Menge", "Einzelpreis", "Betrag"),
        ("Nummer", "Lieferant", "Datum", "Fällig am", "Summe"),
    ),
    Language(
        "es",
        ("Factura", "Albarán", "Formulario de admisión", "Informe anual"),
        ("Objeto", "Condiciones de pago", "Entrega", "Responsabilidad", "Anexo", "Firmas"),
        (
            "{company} entregará la mercancía en {town} en {n} días hábiles.",
            "El pago vence el {date}, sin deducción alguna.",
            "El paciente firmó el consentimiento el {date}; nº de habitación {n}.",
            "¿Alergias conocidas? Ninguna. Última revisión: {date}.",
        ),
        ("Papel A4", "Tóner negro", "Lámpara", "Estantería", "Cable de 5 m"),
        ("Descripción", "Cantidad", "Precio", "Importe"),
        ("Número", "Proveedor", "Fecha", "Vencimiento", "Total"),
    ),
    Language(
        "ja",
        ("請求書", "年次報告書", "納品書"),
        ("概要", "支払条件", "納期", "責任", "付録"),
        (
            "{company}は{town}へ{n}営業日以内に納品します。",
            "お支払期限は{date}です。",
            "当期の売上高は前期比{n}パーセント増となりました。",
            "詳細は付録の表を参照してください。",
        ),
        ("コピー用紙", "トナー(黒)", "デスクライト", "書棚", "ケーブル"),
        ("品名", "数量", "単価", "金額"),
        ("番号", "取引先", "日付", "支払期限", "合計"),
    ),
    Language(
        "el",
        ("Τιμολόγιο", "Δελτίο αποστολής", "Ετήσια έκθεση"),
        ("Αντικείμενο", "Όροι πληρωμής", "Παράδοση", "Παράρτημα"),
        (
            "Η {company} παραδίδει στην πόλη {town} εντός {n} εργάσιμων ημερών.",
            "Η πληρωμή οφείλεται έως τις {date}.",
            "Ο πίνακας περιέχει {n} θέσεις.",
        ),
        ("Χαρτί Α4", "Γραφίτης", "Λάμπα γραφείου", "Ράφι"),
        ("Περιγραφή", "Ποσότητα", "Τιμή", "Ποσό"),
        ("Αριθμός", "Προμηθευτής", "Ημερομηνία", "Λήξη", "Σύνολο"),
    ),
    Language(
        "ar",
        ("فاتورة", "إشعار تسليم", "تقرير سنوي"),
        ("الموضوع", "شروط الدفع", "التسليم", "ملحق"),
        (
            "تسلّم {company} البضاعة في {town} خلال {n} أيام عمل.",
            "يستحق الدفع في {date} دون أي خصم.",
            "يحتوي الجدول على {n} بندًا.",
        ),
        ("ورق A4", "حبر أسود", "مصباح مكتب", "رف"),
        ("الوصف", "الكمية", "السعر", "المبلغ"),
        ("الرقم", "المورد", "التاريخ", "تاريخ الاستحقاق", "المجموع"),
    ),
    Language(
        "hi",
        ("चालान", "वार्षिक रिपोर्ट"),
        ("विषय", "भुगतान की शर्तें", "वितरण", "परिशिष्ट"),
        (
            "{company} {n} कार्य दिवसों में {town} को माल भेजेगी।",
            "भुगतान की अंतिम तिथि {date} है।",
            "तालिका में {n} प्रविष्टियाँ हैं।",
        ),
        ("कागज़ A4", "टोनर", "मेज़ का दीपक", "अलमारी"),
        ("विवरण", "मात्रा", "मूल्य", "राशि"),
        ("संख्या", "आपूर्तिकर्ता", "दिनांक", "देय तिथि", "कुल"),
    ),
)
WEIGHTS = (10, 4, 3, 2, 1, 1, 1)  # how often a file without a hint in its name has each language
HINTS = (
    ("de", ("Rechnung", "Lieferschein", "Mietvertrag", "Gutachten", "Müller")),
    ("es", ("Formulario",)),
    ("ja", ("年次",)),
)


def language_of(file_name: str, rng: Random) -> Language:
    """Return the language that the name of a file suggests, or draw one."""
    for code, words in HINTS:
        if any(word in file_name for word in words):
            return next(each for each in LANGUAGES if each.code == code)
    return rng.choices(LANGUAGES, WEIGHTS)[0]

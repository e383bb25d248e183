"""Names that columns of strangers' logs have, the likeliest first; without case and separators."""


def _of(*lines: str) -> tuple[str, ...]:
    return tuple(" ".join(lines).split())


NAMES: dict[str, tuple[str, ...]] = {
    "user_id": _of(
        "userid user customerid visitorid memberid customeruniqueid clientid uid accountid playerid subscriberid",
        "customer client member visitor account player subscriber msno custid customerno customernumber cid",
        "fullvisitorid userpseudoid anonymousid distinctid profileid personid panelistid householdkey householdid",
        "learnerid studentid buyerid shopperid guestid contactid loyaltyid cardid cardnumber lineid msisdn phone",
        "phonenumber email mail emailaddress username login userhash userkey userno useruuid kundennummer kundenid",
        "kundennr kunde nutzerid nutzer benutzerid benutzer idclient idutilisateur utilisateur idcliente cliente",
        "usuario idusuario reviewerid authorid ownerid actorid senderid patientid driverid riderid passengerid employeeid",
        "donorid borrowerid enrollmentid steamid cookieid deviceid machineid actorlogin customername clientname membername ip",
    ),
    "event_time": _of(
        "eventtime eventtimestamp timestamp ts time datetime eventdatetime occurredat happenedat eventdate date",
        "orderdate invoicedate orderpurchasetimestamp purchasedate transactiondate transactiontime purchasetime",
        "ordertime orderedat orderdatetime createdat created creationdate creationtime servertime clienttime logtime",
        "activitydate activitytime sessionstart starttime startedat starttimestamp visitstarttime visitdate day",
        "playedat watchedat viewedat clickedat datum zeit zeitstempel zeitpunkt uhrzeit bestelldatum kaufdatum",
        "rechnungsdatum buchungsdatum buchungstag fecha data dateheure horodatage when t",
    ),
    "event_type": _of(
        "eventtype eventname event action activity behaviortype behaviourtype behavior behaviour activitytype",
        "actiontype eventaction interactiontype interaction operation verb transactiontype recordtype hittype",
        "type kind ereignis ereignistyp aktion vorgang typ page evento accion",
    ),
    "amount": _of(
        "amount totalamount revenue total totalprice ordertotal ordervalue ordervalueusd paymentvalue grandtotal",
        "sales salesamount saleamount netamount grossamount transactionamount transactionvalue purchasevalue",
        "dollarvalue value spend spent paid actualamountpaid amountpaid amountusd amounteur payment gmv turnover",
        "linetotal subtotal sum betrag umsatz summe gesamt gesamtpreis gesamtbetrag warenwert montant importe",
        "amountcents pricecents totalcents charge price unitprice itemprice salesvalue preis einzelpreis prix",
    ),
    "duration_s": _of(
        "durations duration durationseconds durationsec seconds secs totalsecs sessionduration sessionlength",
        "durationms durationmillis lengthms msplayed dwelltime dwelltimems timespent timespentseconds timeonpage",
        "listeningtime watchtime playtime callduration elapsed elapsedms durationminutes minutes dauer length",
    ),
    "item_id": _of(
        "itemid productid sku stockcode articleid articlenumber productcode product item contentid songid trackid",
        "movieid videoid courseid gameid pageid screenid article song track video movie course screen feature",
        "page url pageurl path artikelnummer artikelnr artikel produkt produktid produit asin isbn categoryid category",
    ),
    "session_id": _of(
        "sessionid session usersession visitid visitnumber gasessionid sid basketid cartid orderid orderno",
        "ordernumber invoiceno invoice invoiceid invoicenumber transactionid receiptid billid sitzung bestellnummer",
        "bestellnr rechnungsnummer belegnummer",
    ),
    "channel": _of(
        "channel channelgrouping saleschannel utmsource trafficsource medium utmmedium source device devicetype",
        "devicecategory platform os app kanal vertriebskanal quelle geraet",
    ),
    "event_id": _of(
        "eventid eventuuid eventkey id uuid guid rowid recordid logid messageid insertid hitid transactionid",
        "orderid invoiceid invoiceno receiptid orderitemid ereignisid belegnummer bestellnummer",
    ),
    "quantity": _of(
        "quantity qty units unitssold orderquantity orderqty itemquantity pieces menge anzahl stueck stuck",
        "cantidad quantite numberofcds",
    ),
    "price": _of("unitprice price itemprice priceperunit preis einzelpreis stueckpreis prix precio"),
}
# times of something else than the event
OTHER_TIMES = frozenset(
    _of(
        "registration registered register signup birth birthday birthdate dob expire expires expiry",
        "expiration end ended due updated modified deleted delivered delivery shipped shipping estimated",
        "approved ingested loaded load processed received joined since member until valid first last renewal",
    )
)
# columns that tell who somebody is: they do not travel into properties
PERSONAL = frozenset(
    _of(
        "name firstname lastname surname givenname email mail phone mobile address street ip ipaddress useragent agent birthday ",
        "birthdate dob ssn iban card cardnumber latitude longitude lat lon lng password token",
    )
)
# words of numbers that may be added up
COUNTED = frozenset(
    _of(
        "num number count counts cnt nb n qty quantity units anzahl menge total sum is has plays clicks views",
        "likes shares visits minutes secs seconds bytes kb mb rounds items cds points score scores messages",
        "calls steps",
    )
)
NEVER_ADDED = frozenset(_of("id code zip phone card account invoice order serial index year month day week hour age version"))

PURCHASES = ("purchase", "order", "buy", "transaction", "payment", "checkout", "sale", "kauf", "bestellung", "paid", "ordered")
RETURNS = ("return", "refund", "cancel", "storno", "chargeback", "retoure", "reversal", "rueckgabe", "rückgabe", "erstattung")

# words of event types that happen to users without their doing
NO_ACTS = frozenset(
    _of(
        "bill bills billed billing invoice invoices invoiced statement rechnung rechnungen faktura fee fees dunning mahnung",
        "refund refunds refunded chargeback chargebacks reversal reversals erstattung gutschrift",
        "shipped dispatched delivered expired expiry expiration expires suspended suspension",
    )
)
# a message of ours, when it was sent or arrived; some words say so on their own
MESSAGES = frozenset(_of("email emails mail mails push newsletter notification notifications campaign reminder reminders letter"))
SENT = frozenset(_of("send sends sent delivery bounce bounced dropped deferred queued scheduled received"))
ON_THEIR_OWN = frozenset(_of("push newsletter notification notifications reminder reminders"))
# with one of these words the user did it after all
BY_USERS = frozenset(
    _of(
        "open opens opened click clicks clicked read reads view views viewed reply replied answered pay pays paid payment",
        "payments zahlung bezahlt request requested requests download downloaded subscribe subscribed unsubscribe unsubscribed",
    )
)

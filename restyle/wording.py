"""Whose fault a refusal is, by its words: the account's, the headers', or this one request's. Pure.

A job may fail alone only where the words name one of its own parameters or its picture, say what is wrong with it, and
say nothing of money, plan, account, the account's limits or headers. All else is not clear, and whoever asks lets the
whole fleet stop. The lists are for English and for what speakers of other languages are likely to be answered in; what
is missing from them makes a text unclear, never a job's fault.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Literal

Whose = Literal["account", "header", "job", ""]


@dataclass(frozen=True)
class Blame:
    """Whose fault it is ("": not clear); of the account also which cause, and the period of a limit."""

    whose: Whose
    cause: str = ""
    period: str = ""


def plain(text: str) -> str:
    """A text as the lists below have their words: small letters without accents, names taken apart at `_`, `-`, case."""
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)
    text = unicodedata.normalize("NFKD", text.casefold())
    text = "".join(char for char in text if not unicodedata.combining(char))
    return " ".join(unicodedata.normalize("NFC", re.sub(r"[_\-]+", " ", text)).split())


def _words(latin: str, others: str = "") -> re.Pattern[str]:
    """A pattern for whole words (`*` ends a stem), and for pieces of text in scripts without spaces."""
    words = [re.escape(plain(word)).replace(r"\*", r"\w*").replace(r"\ ", " ") for word in latin.split(",")]
    pieces = [re.escape(plain(word)) for word in others.split()]
    return re.compile("|".join([rf"(?<!\w)(?:{'|'.join(words)})(?!\w)", *pieces]))


#: What an account is refused for. The first two are told by themselves, of the others the one that is named first.
_CAUSES = {
    "limit": _words(
        "quota*,budget*,spend,spending,gasto*,cap,allowance,usage,daily,weekly,monthly,hourly,yearly,day,days,week,weeks,month,months,"
        "hour,hours,today,this month,rate limit*,request limit*,too many requests,remaining,used up,used all,more images,"
        "kontingent*,verbrauch*,taglich*,monatlich*,tageslimit*,monatslimit*,mensuel*,quotidien*,mois,diario*,diaria*,"
        "mensual*,mes,cuota*,cota,giornalier*,mensile,reached,erreicht,atteint*,alcanzad*",
        "配额 配額 限额 限額 每月 每日 本月 今日 квот лимит 利用枠 月間 1日 할당량",
    ),
    "team": _words(
        "team*,organization*,organisation*,workspace,project,member*,seat,seats,admin,administrator,department,company,"
        "tenant,mitglied*,equipe,equipo,organizacion,organizacao,squadra",
        "团队 團隊 组织 組織 项目 チーム команд",
    ),
    "balance": _words(
        "credit,credits,balance,fund,funds,wallet,top up,topped up,topping up,recharge,prepaid,deposit,insufficient,"
        "not enough,run out,cost,costs,price,pricing,usd,eur,gbp,cny,dollar*,euro,euros,cents,guthaben*,kontostand*,"
        "aufladen,kredit*,reicht nicht,reichen nicht,nicht genug,solde,fonds,insuffisant*,recharger,saldo,fondos,credito,"
        "creditos,insuficient*,recargar,fundos,recarregar,crediti,ricarica*,insufficient*,tegoed,srodki,srodkow,kredyt*,"
        "bakiye,kredi",
        "余额 餘額 额度 額度 欠费 充值 点数 點數 积分 残高 残額 クレジット ポイント チャージ 잔액 크레딧 충전 баланс средств кредит",
    ),
    "plan": _words(
        "plan,plans,subscription*,subscribe*,tier,tiers,upgrade*,trial,free,premium,enterprise,license*,licence*,package,"
        "membership,entitle*,included,abo,abos,abonnement*,abonniert,tarif*,forfait*,suscripcion*,assinatura,plano,piano,"
        "abbonamento",
        "套餐 订阅 訂閱 升级 升級 会员 會員 プラン サブスクリプション 契約 구독 요금제 подписк тариф",
    ),
    "payment": _words(
        "payment*,pay,paid,unpaid,payable,billing,bill,billed,invoice*,card,bank,charge,charged,purchase*,overdue,past due,"
        "zahlung*,bezahl*,rechnung*,kreditkarte,karte,paiement*,payer,facture*,facturation,carte,pago,pagos,pagar,factura*,"
        "facturacion,tarjeta,pagamento,fatura,cartao,fattura",
        "支付 付款 账单 賬單 银行卡 支払 請求 カード 결제 оплат платеж",
    ),
    "account": _words(
        "account*,customer*,profile,suspended,deactivated,inactive,disabled,verify,verified,verification,email,kyc,api key,"
        "api token,authoriz*,authoris*,unauthori*,authenticat*,credential*,permission*,forbidden,access,login,log in,"
        "sign in,enabled,konto,kontos,gesperrt,deaktiviert,compte,suspendu,desactive,cuenta,suspendida,desactivada,conta,"
        "api schlussel",
        "账户 账号 帐户 帐号 賬戶 帳號 冻结 凍結 实名 认证 アカウント 停止 계정 аккаунт учетн",
    ),
}  # fmt: skip

_HEADER = _words(
    "header*,content type*,media type*,mediatype*,accept header,user agent,cookie*,gateway,firewall,proxy,endpoint,"
    "route,kopfzeile*,inhaltstyp*,inhalts typ,medientyp*,en tete*,entete*,type de contenu,encabezado*,cabecera*,"
    "tipo de contenido,intestazion*,tipo di contenuto,cabecalho*,tipo de conteudo",
    "请求头 請求頭 标头 標頭 内容类型 內容類型 媒体类型 ヘッダ コンテンツタイプ заголов",
)

#: What a request has of its own: its parameters under their names and near ones, and the picture.
_PARAMETER = (
    "prompt,prompts,negative prompt,samples,number of images,num images,number of outputs,scheduler,sampler,base model,"
    "inference steps,num inference steps,steps,guidance,guidance scale,cfg,cfg scale,strength,denois*,seed,base64"
)
_OWN = _words(
    f"{_PARAMETER},image,images,init image,input image,picture*,photo,photos,photograph*,img,mask,jpeg,jpg,png,webp,width,"
    "height,resolution,dimension*,aspect ratio,pixel*,megapixel*,nsfw,safety filter,safety checker,content policy,"
    "bild*,foto,fotos,eingabebild,auflosung,breite,startwert,schritte,imagen,imagenes,imagem,imagens,immagin*,largeur,"
    "hauteur,semilla,graine,afbeelding*,obraz*,resim,gorsel",
    "图片 圖片 图像 圖像 照片 提示词 提示詞 种子 步数 采样 强度 分辨率 画像 写真 プロンプト シード 解像度 이미지 사진 프롬프트 изображен картин промпт",
)
#: How a field of a structured error names a parameter, and the picture.
_FIELD = _words(f"{_PARAMETER},negative,image,img,init image,input image,mask")

#: What is wrong with it.
_DEFECT = _words(
    "invalid,must,should,requires,require,required,missing,unsupported,not supported,not valid,unknown,unrecogni*,"
    "unexpected,expected,too large,too long,too small,too short,too many,too few,too high,too low,too big,too dark,"
    "exceed*,out of range,out of bounds,outside,between,larger,smaller,greater,less,longer,shorter,more than,fewer,maximum,"
    "minimum,max,min,at most,at least,decode*,corrupt*,broken,malformed,truncated,damaged,unreadable,empty,blank,violat*,"
    "prohibited,disallowed,not allowed,flagged,detected,reject*,refus*,blocked,banned,unsafe,inappropriate,explicit,"
    "not a,not an,failed to,not found,does not exist,one of,bad,wrong,incorrect,illegal,cannot,can not,can t,could not,couldn t,unable,ensure,"
    "divisible,multiple of,"
    "ungultig*,muss,mussen,darf,durfen,nicht unterstutzt,nicht lesbar,nicht gefunden,konnte nicht,kann nicht,fehlt,"
    "fehlerhaft*,beschadigt*,leer,ausserhalb,zwischen,hochstens,mindestens,uberschreitet,unbekannt*,zu gross,zu lang,"
    "zu klein,zu hoch,zu niedrig,zu viele,unzulassig*,"
    "invalide*,non valide*,pas valide*,doit,doivent,trop grand*,trop long*,trop petit*,illisible*,manquant*,hors,depasse*,"
    "inconnu*,corrompu*,vide,interdit*,impossible,"
    "invalido*,invalida*,no es,no son,no se puede*,debe,deben,demasiado,falta,fuera de,excede,supera,desconocid*,"
    "non valid*,deve,devono,troppo,mancante,fuori,nao e,nao foi,muito,ausente,ongeldig*,moet,nieprawidłow*,gecersiz",
    "无效 無效 必须 必須 超出 超过 超過 不支持 不能 无法 無法 过长 過長 过大 過大 太大 太长 错误 錯誤 缺少 不合法 违规 違規 违反 敏感 损坏 损毁"
    " 不存在 無効 不正 超え 範囲外 できません 読み込め 大きすぎ 長すぎ 不適切 破損 잘못 유효하지 초과 недопустим неверн должн слишком"
    " некоррект поврежд",
)  # fmt: skip

#: "Image generation" is what the API does, and no picture of ours; nor is a type of content like image/jpeg.
_NOT_OURS = re.compile(
    r"(?<!\w)(?:image|photo|picture|img)s? ?(?:generations?|service|api|endpoint|models?|to|2 ?img)(?: images?)?(?!\w)|img2img"
    r"|(?:image|application|text|multipart)/[\w.+-]+"
    r"|went wrong|insufficient (?=(?:image )?(?:resolution|quality|size|contrast|detail))"
)
#: A limit is a parameter's own where the text tells its bound; without one it is taken for the account's.
_LIMIT = _words("limit,limits,limite,limites,limiet", "上限 制限 предел")
_BOUND = re.compile(
    r"[<>]=?|must be|less|greater|at (?:most|least)|between|maximum|minimum|\bm(?:ax|in)\b|range|characters|\btokens?\b|pixels"
    r"|\b\d+ ?(?:x|×|px|[kmg]b)\b|\bsize\b|length|resolution|limit (?:of|is)? ?\d|exceeds? (?:the |its )?(?:\w+ )?limit|hors|fuera|ausserhalb|zwischen|超出|超过"
)
#: The periods of a limit, as they are told.
_PERIODS = {
    "daily": _words("daily,day,today,per day,taglich*,tageslimit*,quotidien*,diario*,diaria*", "每日 今日 1日"),
    "weekly": _words("weekly,week,wochentlich*"),
    "monthly": _words("monthly,month,this month,monatlich*,monatslimit*,mensuel*,mensual*,mois,mensile", "每月 本月 月間"),
    "hourly": _words("hourly,hour,per hour"),
}


_AMOUNT = re.compile(r"[$€£¥] ?\d")


def blame(text: str, fields: str = "") -> Blame:
    """Whose fault a refusal is.

    Args:
        text: what it says.
        fields: the names of the fields that it says this of, where it is structured.
    """
    words, named = plain(text), plain(fields)
    judged = _NOT_OURS.sub(" ", words)
    if _HEADER.search(judged) or _HEADER.search(named):
        return Blame("header", "header")
    if cause := _cause(judged):
        return Blame("account", cause, _period(words) if "limit" in cause else "")
    limit = _LIMIT.search(judged)
    if limit and not _BOUND.search(judged):
        return Blame("account", "limit", _period(words)) if _OWN.search(judged) else Blame("")
    is_own = bool(_FIELD.search(named)) or (_OWN.search(judged) and (limit or _DEFECT.search(judged)))
    return Blame("job") if is_own else Blame("")


def _cause(words: str) -> str:
    """Which of the account's causes a text names; empty where it names none."""
    found = {name: match.start() for name, pattern in _CAUSES.items() if (match := pattern.search(words))}
    if amount := _AMOUNT.search(words):
        found.setdefault("balance", amount.start())
    if "team" in found and ("limit" in found or _LIMIT.search(words)):
        return "team_limit"
    if "limit" in found or (found and _LIMIT.search(words) and "plan" not in found):
        return "limit"
    cause = min(found, key=lambda name: found[name], default="")
    return "account" if cause == "team" else cause


def _period(words: str) -> str:
    return next((name for name, pattern in _PERIODS.items() if pattern.search(words)), "")

"""The Japanese texts of mails."""

from __future__ import annotations

from datetime import date, datetime

from server.calendar.rrule import Frequency
from server.imip.catalogue.texts import Texts

_DAYS = ("月", "火", "水", "木", "金", "土", "日")


def _dated(day: date) -> str:
    return f"{day.year}年{day.month}月{day.day}日（{_DAYS[day.weekday()]}）"


def _clock(time: datetime) -> str:
    return f"{time:%H:%M}"


JAPANESE = Texts(
    subjects={
        "invited": "招待: {summary}",
        "updated": "招待の変更: {summary}",
        "cancelled": "中止: {summary}",
        "cancelled_days": "一部の日の中止: {summary}",
        "accepted": "承諾: {summary}",
        "tentative": "仮承諾: {summary}",
        "declined": "辞退: {summary}",
        "delegated": "委任: {summary}",
        "answered": "返信: {summary}",
        "proposed": "別の日時の提案: {summary}",
        "proposal_declined": "提案の辞退: {summary}",
        "asked_for_update": "再送のお願い: {summary}",
    },
    intros={
        "invited": "{name} さんがあなたを招待しました。",
        "updated": "{name} さんが招待を変更しました。",
        "cancelled": "{name} さんが予定を中止したか、あなたの招待を取り消しました。",
        "cancelled_days": "{name} さんが下記の日の予定を中止したか、あなたの招待を取り消しました。",
        "accepted": "{name} さんが承諾しました。",
        "tentative": "{name} さんが仮承諾しました。",
        "declined": "{name} さんが辞退しました。",
        "delegated": "{name} さんが招待をほかの人に委任しました。",
        "answered": "{name} さんが返信しました。",
        "proposed": "{name} さんが別の日時を提案しました。",
        "proposal_declined": "{name} さんは元の日時のままとしました。",
        "asked_for_update": "{name} さんが招待の再送を求めています。",
    },
    notice_subject="{owner}様宛: {subject}",
    notice="これは{owner}様宛に届いたものです。代理人として{owner}様のカレンダーで返答してください。",
    untitled="（無題）",
    when="日時",
    where="場所",
    what="件名",
    repeats="繰り返し",
    description="説明",
    organizer="主催者",
    attendees="参加者",
    link="リンク",
    comment="コメント",
    changes="変更点",
    new="{new}（追加）",
    gone="{old}（削除）",
    changed="{new}（変更前: {old}）",
    description_changed="変更あり",
    your_time="あなたのタイムゾーン",
    instances="日",
    answer="カレンダーアプリで返信してください。招待は添付ファイルにあります。",
    statuses={
        "NEEDS-ACTION": "未返信",
        "ACCEPTED": "承諾",
        "DECLINED": "辞退",
        "TENTATIVE": "仮承諾",
        "DELEGATED": "委任",
        "COMPLETED": "完了",
        "IN-PROCESS": "進行中",
    },
    every={
        Frequency.YEARLY: ("毎年", "{interval}年ごと"),
        Frequency.MONTHLY: ("毎月", "{interval}か月ごと"),
        Frequency.WEEKLY: ("毎週", "{interval}週間ごと"),
        Frequency.DAILY: ("毎日", "{interval}日ごと"),
        Frequency.HOURLY: ("毎時", "{interval}時間ごと"),
        Frequency.MINUTELY: ("毎分", "{interval}分ごと"),
        Frequency.SECONDLY: ("毎秒", "{interval}秒ごと"),
    },
    on_days="{days}",
    until="{date}まで",
    times="{count}回",
    weekdays=tuple(f"{day}曜日" for day in _DAYS),
    separator="、",
    dated=_dated,
    clock=_clock,
    range="{start} ～ {end}",
    day_and_time="{day} {time}",
)
